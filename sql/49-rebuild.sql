-- "postbox rebuild-catalog" fills the catalog again from the bucket, as the owner of the schema: nobody else may call these.
create or replace function backup._begin_rebuild(
    -- as pg_control has it, in 64 bits
    system_identifier bigint
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    own bigint := (select c.system_identifier from pg_control_system() c);
begin
    if own is distinct from _begin_rebuild.system_identifier then
        raise exception using
            errcode = 'PB001',
            message = format('this server has the system identifier %s, and the rows are of %s', own,
                _begin_rebuild.system_identifier),
            hint = 'They are of another life of the server: name this one with --system, if anything is stored of it.';
    end if;
    create temporary table rebuilt_item (kind text not null, item jsonb not null) on commit drop;
    -- taken: false for what is there and must not count, such as the other server's after a split brain.
    create temporary table rebuilt_segment (
        timeline integer not null, start_lsn pg_lsn not null, segment_bytes integer not null, bytes bigint not null,
        sha256 bytea not null, last_commit_at timestamptz, stored_at timestamptz not null, key text not null,
        taken boolean not null
    ) on commit drop;
end
$$;

comment on function backup._begin_rebuild(bigint) is 'Make room for what "postbox rebuild-catalog" has found.';

create or replace function backup._rebuild_wal(
    system_identifier bigint
)
    -- rows that were added
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    added bigint;
    run record;
begin
    create index rebuilt_segment_place on pg_temp.rebuilt_segment (timeline, start_lsn);
    analyze pg_temp.rebuilt_segment;
    update pg_temp.rebuilt_segment s
    set last_commit_at = c.last_commit_at
    from (select (i.item ->> 'timeline')::integer as timeline, (i.item ->> 'start_lsn')::pg_lsn as start_lsn,
                 (i.item ->> 'last_commit_at')::timestamptz as last_commit_at
          from pg_temp.rebuilt_item i where i.kind = 'commit') c
    where s.timeline = c.timeline and s.start_lsn = c.start_lsn and s.taken;

    insert into backup._timeline (system_identifier, timeline, parent_timeline, switch_lsn, history, key, stored_at)
    select _rebuild_wal.system_identifier, t.timeline, t.parent_timeline, t.switch_lsn, t.history, t.key, t.stored_at
    from pg_temp.rebuilt_item i cross join jsonb_populate_record(null::backup._timeline, i.item) t
    where i.kind = 'timeline'
    on conflict on constraint timeline_pk do nothing;

    insert into backup._wal_segment as w
        (system_identifier, timeline, start_lsn, segment_bytes, bytes, sha256, last_commit_at, stored_at, key)
    select _rebuild_wal.system_identifier, s.timeline, s.start_lsn, s.segment_bytes, s.bytes, s.sha256, s.last_commit_at,
           s.stored_at, s.key
    from pg_temp.rebuilt_segment s
    where s.taken
    order by s.timeline, s.start_lsn
    on conflict on constraint wal_segment_pk do nothing;
    get diagnostics added = row_count;

    -- What was known by its mark alone may be known whole now.
    update backup._wal_segment w
    set sha256 = s.sha256, last_commit_at = coalesce(w.last_commit_at, s.last_commit_at)
    from pg_temp.rebuilt_segment s
    where w.system_identifier = _rebuild_wal.system_identifier and w.timeline = s.timeline
      and w.start_lsn = s.start_lsn and octet_length(w.sha256) < octet_length(s.sha256)
      and backup._same_content(w.sha256, s.sha256);

    -- Segments without a gap between them are one run.
    for run in
        select g.timeline, backup.lsn_range(min(g.start_lsn), max(g.end_lsn)) as lsns,
               max(g.last_commit_at) as last_commit_at
        from (
            select e.*, count(*) filter (where e.begins) over (partition by e.timeline order by e.start_lsn) as run
            from (
                select s.timeline, s.start_lsn, s.start_lsn + s.segment_bytes::numeric as end_lsn, s.last_commit_at,
                       lag(s.start_lsn + s.segment_bytes::numeric) over (partition by s.timeline order by s.start_lsn)
                           is distinct from s.start_lsn as begins
                from pg_temp.rebuilt_segment s
                where s.taken
            ) e
        ) g
        group by g.timeline, g.run
    loop
        perform backup._merge_range(system_identifier, run.timeline, run.lsns, run.last_commit_at);
    end loop;
    return added;
end
$$;

comment on function backup._rebuild_wal(bigint) is 'Add histories and WAL that the catalog does not have.';

create or replace function backup._rebuild_job(
    kind text,
    label text,
    started_at timestamptz,
    ended_at timestamptz,
    raw_bytes bigint
)
    -- its id
    returns bigint
    language sql
    set search_path = pg_catalog, pg_temp
as $$
    insert into backup._job
        (kind, state, target, attempts, bytes_done, bytes_total, created_at, started_at, ended_at)
    values (_rebuild_job.kind::backup.job_kind, 'done',
            jsonb_build_object('label', _rebuild_job.label, 'rebuilt', true), 1, raw_bytes, raw_bytes,
            least(_rebuild_job.started_at, _rebuild_job.ended_at), least(_rebuild_job.started_at, _rebuild_job.ended_at),
            _rebuild_job.ended_at)
    returning job_id
$$;

comment on function backup._rebuild_job(text, text, timestamptz, timestamptz, bigint) is
    'The job of a stored backup or dump, as far as it can be told.';

create or replace function backup._rebuild_folders(
    system_identifier bigint
)
    -- rows that were added, or could not be
    returns table (what text, added bigint)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    one record;
    base backup._base_backup;
    dump backup._dump;
    counted bigint[] := '{0,0,0,0}';
begin
    for one in
        select i.kind, i.item from pg_temp.rebuilt_item i
        where i.kind in ('base', 'dump')
        order by (i.item ->> 'ended_at')::timestamptz, i.item ->> 'id'
    loop
        if one.kind = 'base' then
            base := jsonb_populate_record(null::backup._base_backup, one.item - 'manifest_sha256');
            continue when exists (select from backup._base_backup b where b.backup_id = base.backup_id);
            if not backup._covers_wal(system_identifier, base.timeline, base.start_lsn, base.stop_lsn) then
                raise warning 'base backup % is left out: WAL that it needs is not stored', base.backup_id;
                counted[3] := counted[3] + 1;
                continue;
            end if;
            base.system_identifier := _rebuild_folders.system_identifier;
            base.manifest_sha256 := backup._from_hex(one.item ->> 'manifest_sha256');
            base.recorded_at := (one.item ->> 'ended_at')::timestamptz;
            base.job_id := backup._rebuild_job('base', base.label, base.started_at, base.recorded_at, base.raw_bytes);
            insert into backup._base_backup select base.*;
            counted[1] := counted[1] + 1;
        else
            dump := jsonb_populate_record(null::backup._dump, '{"warnings": []}' || one.item);
            continue when exists (select from backup._dump d where d.dump_id = dump.dump_id);
            dump.system_identifier := _rebuild_folders.system_identifier;
            dump.finished_at := (one.item ->> 'ended_at')::timestamptz;
            dump.job_id := backup._rebuild_job('dump', dump.label, dump.snapshot_at, dump.finished_at, dump.raw_bytes);
            insert into backup._dump select dump.*;
            counted[2] := counted[2] + 1;
        end if;
    end loop;

    insert into backup._object (key, kind, job_id, bytes, raw_bytes, sha256, stored_at)
    select i.item ->> 'key', i.item ->> 'kind', j.job_id, (i.item ->> 'bytes')::bigint,
           (i.item ->> 'raw_bytes')::bigint, backup._from_hex(i.item ->> 'sha256'),
           (i.item ->> 'stored_at')::timestamptz
    from pg_temp.rebuilt_item i
    join (
        select b.backup_id as id, b.job_id from backup._base_backup b
        where b.system_identifier = _rebuild_folders.system_identifier
        union all
        select d.dump_id, d.job_id from backup._dump d where d.system_identifier = _rebuild_folders.system_identifier
        union all
        -- The note on how to restore is everybody's, and stays with whom it was stored by first.
        select '', min(j.job_id) from backup._job j where j.state = 'done'
    ) j on j.id = coalesce(i.item ->> 'id', '') and j.job_id is not null
    where i.kind = 'object'
    on conflict on constraint object_pk do nothing;
    return query values
        ('base backups', counted[1]), ('dumps', counted[2]), ('base backups without their WAL', counted[3]);
end
$$;

comment on function backup._rebuild_folders(bigint) is
    'Add base backups, dumps, their objects and jobs that the catalog does not have.';

create or replace function backup._forget_missing(
    system_identifier bigint,
    -- when the bucket was listed: what was recorded since, or an hour before as clocks differ, stays
    listed_at timestamptz
)
    -- rows that were taken away
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    before timestamptz := listed_at - interval '1 hour';
    stored jsonb;
begin
    -- Whoever wrote it: what is there is there.
    select coalesce(jsonb_agg(jsonb_build_object('timeline', m.timeline, 'from_lsn', lower(r.lsns),
                                                 'to_lsn', upper(r.lsns))), '[]')
    into stored
    from (
        select s.timeline, range_agg(backup.lsn_range(s.start_lsn, s.start_lsn + s.segment_bytes::numeric)) as lsns
        from pg_temp.rebuilt_segment s group by s.timeline
    ) m
    cross join unnest(m.lsns) r (lsns);
    return backup._forget_folders(_forget_missing.system_identifier,
               array(select i.item ->> 'id' from pg_temp.rebuilt_item i where i.kind = 'base'),
               array(select i.item ->> 'id' from pg_temp.rebuilt_item i where i.kind = 'dump'), before)
           + backup._forget_wal(_forget_missing.system_identifier, stored, before, 'the bucket no longer has it');
end
$$;

comment on function backup._forget_missing(bigint, timestamptz) is
    'Take out of the catalog what the bucket no longer has.';

create or replace function backup._end_rebuild(
    system_identifier bigint,
    -- when the bucket was listed; null: rows of what it no longer has stay
    forget_missing_at timestamptz
)
    returns table (what text, rows bigint)
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    conflicts bigint;
begin
    -- In turn with whoever records segments, who did not have to wait while the bucket was listed.
    perform pg_advisory_xact_lock(x'77706f7374626f78'::bigint);
    return query values ('WAL segments', backup._rebuild_wal(system_identifier));
    return query select f.what, f.added from backup._rebuild_folders(system_identifier) f where f.added > 0;
    perform backup._record_drill(i.item) from pg_temp.rebuilt_item i where i.kind = 'drill';
    if forget_missing_at is not null then
        return query values ('taken away', backup._forget_missing(system_identifier, forget_missing_at));
    end if;

    select count(*) into conflicts
    from pg_temp.rebuilt_segment s
    join backup._wal_segment w on w.system_identifier = _end_rebuild.system_identifier and w.timeline = s.timeline
        and w.start_lsn = s.start_lsn and not backup._same_content(w.sha256, s.sha256)
    where s.taken;
    if conflicts > 0 then
        raise warning '% WAL segments have a row of other content than the bucket''s first: the rows were kept', conflicts
            using hint = 'Two servers wrote the same WAL: see "postbox list".';
    end if;
end
$$;

comment on function backup._end_rebuild(bigint, timestamptz) is
    'Fill the catalog with what was found. What it has stays as it is, so that a second time changes nothing.';
