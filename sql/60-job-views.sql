-- Neither a CTE nor a volatile function in here: with either, the newest job could not be asked for without reading all.
create or replace view backup.jobs as
select p.job_id, p.kind::text as kind,
       case when p.state = 'running' and not (select backup._worker_alive()) then 'interrupted'
           else p.state::text end as state,
       p.target ->> 'label' as label, p.phase, p.bytes_done, p.bytes_total, p.rate,
       case when p.state = 'running' and p.rate > 0 and p.bytes_total >= p.bytes_done
           then make_interval(secs => ((p.bytes_total - p.bytes_done) / p.rate)::double precision) end as eta,
       p.attempts,
       p.error ->> 'code' as error_code, p.error ->> 'message' as error_message, p.error ->> 'hint' as error_hint,
       p.created_at, p.started_at, p.ended_at,
       (p.tables ->> 'done')::integer as tables_done, (p.tables ->> 'total')::integer as tables_total,
       case when p.state = 'running' then p.tables -> 'copying' end as copying,
       p.schedule
from (
    select j.*,
           round(j.bytes_done
                 / nullif(extract(epoch from coalesce(j.ended_at, statement_timestamp()) - j.started_at), 0)
           )::bigint as rate
    from backup._job j
) p;

comment on view backup.jobs is 'Every request to store something, and how far it is.';
comment on column backup.jobs.job_id is 'What backup.start_base() or backup.start_dump() returned.';
comment on column backup.jobs.kind is 'base: a base backup; dump: a logical dump.';
comment on column backup.jobs.state is
    'queued, running, done, failed or canceled; interrupted: its worker was lost, it begins anew with the next one.';
comment on column backup.jobs.label is 'Free text given at the start.';
comment on column backup.jobs.phase is 'What is being done now.';
comment on column backup.jobs.bytes_done is 'Bytes read from the server in this attempt.';
comment on column backup.jobs.bytes_total is 'Bytes to read, as the server estimates; null while unknown.';
comment on column backup.jobs.rate is 'Bytes per second of this attempt.';
comment on column backup.jobs.eta is 'Time left at that rate.';
comment on column backup.jobs.attempts is 'How often it was begun.';
comment on column backup.jobs.error_code is 'Stable name of the last failure; null once done.';
comment on column backup.jobs.error_message is 'What went wrong.';
comment on column backup.jobs.error_hint is 'What to do about it.';
comment on column backup.jobs.created_at is 'When it was asked for.';
comment on column backup.jobs.started_at is 'When the last attempt began.';
comment on column backup.jobs.ended_at is 'When it was done, failed or canceled.';
comment on column backup.jobs.tables_done is 'Tables of a dump whose rows are copied.';
comment on column backup.jobs.tables_total is 'Tables of a dump whose rows are to be copied; null before it copies.';
comment on column backup.jobs.copying is
    'Tables of a dump on their way: [{table, bytes_done, bytes_total}, ...]; bytes_total is the size on the server.';
comment on column backup.jobs.schedule is 'The schedule that queued it; null: somebody did.';

create or replace view backup.base_backups as
select b.backup_id, b.job_id, b.label, b.timeline, b.start_lsn, b.stop_lsn, b.started_at, b.stopped_at, b.raw_bytes,
       b.stored_bytes, b.parts, b.manifest_key, b.system_identifier, b.postgres_version_num
from backup._base_backup b;

comment on view backup.base_backups is
    'Finished base backups: all parts, the manifest and the WAL between start and stop are stored.';
comment on column backup.base_backups.backup_id is 'Its folder in the bucket; what postbox restore --backup takes.';
comment on column backup.base_backups.job_id is 'The job that took it.';
comment on column backup.base_backups.label is 'Free text given at the start.';
comment on column backup.base_backups.timeline is 'Timeline of its WAL.';
comment on column backup.base_backups.start_lsn is 'Recovery begins here.';
comment on column backup.base_backups.stop_lsn is 'Recovery must reach this.';
comment on column backup.base_backups.started_at is 'When it began.';
comment on column backup.base_backups.stopped_at is
    'The earliest time that can be restored to: when it ended or, of a standby that is behind, when its WAL was stored.';
comment on column backup.base_backups.raw_bytes is 'Bytes before compression.';
comment on column backup.base_backups.stored_bytes is 'Bytes in the bucket.';
comment on column backup.base_backups.parts is 'Number of its stored parts.';
comment on column backup.base_backups.manifest_key is 'Object that names every part.';
comment on column backup.base_backups.system_identifier is
    'As pg_control_system() shows it; another one is another cluster.';
comment on column backup.base_backups.postgres_version_num is 'Version of Postgres, as server_version_num.';

create or replace view backup.objects as
select o.key, o.kind, o.bytes, o.raw_bytes, encode(o.sha256, 'hex') as sha256, o.stored_at, o.job_id
from backup._object o
union all
select s.key, 'segment', s.bytes, s.segment_bytes::bigint, encode(s.sha256, 'hex'), s.stored_at, null
from backup._wal_segment s
union all
select t.key, 'history', octet_length(t.history)::bigint, octet_length(t.history)::bigint,
       encode(sha256(convert_to(t.history, 'UTF8')), 'hex'), t.stored_at, null
from backup._timeline t;

comment on view backup.objects is 'What lies in the bucket, as far as this database knows. Ask for a key, not for all.';
comment on column backup.objects.key is 'Full object key.';
comment on column backup.objects.kind is
    'part, backup_manifest or manifest of a backup; segment or history of the WAL.';
comment on column backup.objects.bytes is 'Stored bytes.';
comment on column backup.objects.raw_bytes is 'Bytes before compression.';
comment on column backup.objects.sha256 is
    'In hex: of the stored bytes, or of the raw bytes for segments and histories. Of a segment that "postbox rebuild-catalog" '
    'found only the first 12 digits may be known, which its key says.';
comment on column backup.objects.stored_at is 'When the box had taken it.';
comment on column backup.objects.job_id is 'The job that it belongs to; null for WAL.';
