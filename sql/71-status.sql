create or replace view backup.status as
select backup._worker_alive() as worker_alive, w.version as worker_version, w.started_at as worker_started_at,
       backup._setting_value('server') as server,
       b.backup_id as last_base_id, b.stopped_at as last_base_at,
       backup._segment_name(s.timeline, s.start_lsn, s.segment_bytes) as last_segment,
       r.durable_lsn, r.bytes_at_risk, r.seconds_at_risk,
       g.expires_at as grant_expires_at, (
           select max(d.finished_at) from backup._drill d where d.ok and d.system_identifier = c.system_identifier
       ) as last_drill_at,
       w.problem ->> 'code' as worker_error_code, w.problem ->> 'message' as worker_error_message,
       w.problem ->> 'hint' as worker_error_hint
from backup._at_risk() r
cross join pg_control_system() c
left join backup._worker_report() w on true
left join lateral (
    select b.backup_id, b.stopped_at from backup._own_bases() b order by b.stopped_at desc limit 1
) b on true
left join lateral (
    select s.timeline, s.start_lsn, s.segment_bytes from backup._wal_segment s
    where s.system_identifier = c.system_identifier
    order by s.timeline desc, s.start_lsn desc limit 1
) s on true
left join backup._grant g on g.grant_id = backup._grant_in_use();

comment on view backup.status is 'One row: what is safe now, and whether it stays so.';
comment on column backup.status.worker_alive is 'Whether a worker holds the worker lock.';
comment on column backup.status.worker_version is 'Version of the last worker.';
comment on column backup.status.worker_started_at is 'When the last worker started.';
comment on column backup.status.server is 'Name of this server in the bucket; null before the first grant.';
comment on column backup.status.last_base_id is 'The newest base backup of this server as it is: none from before an upgrade, nor of a life that a restore has left.';
comment on column backup.status.last_base_at is 'When it ended.';
comment on column backup.status.last_segment is 'Name of the last WAL segment of this cluster that was recorded.';
comment on column backup.status.durable_lsn is 'All WAL before it is in the box; null when unknown.';
comment on column backup.status.bytes_at_risk is 'WAL written and not yet in the box; null when unknown.';
comment on column backup.status.seconds_at_risk is
    'Age of the oldest WAL that is not yet in the box; null when unknown.';
comment on column backup.status.grant_expires_at is 'When the grant in use ends; null: there is none.';
comment on column backup.status.last_drill_at is 'When a restore of this cluster was last proved to work; null: not known here.';
comment on column backup.status.worker_error_code is 'Stable name of what troubles the worker; null: nothing.';
comment on column backup.status.worker_error_message is 'What troubles the worker.';
comment on column backup.status.worker_error_hint is 'What to do about it.';
