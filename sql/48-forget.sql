-- What the bucket no longer has goes out of the catalog, so that no view offers it.
create or replace function backup._forget_folders(
    system_identifier bigint,
    -- ids that are stored
    backup_ids text[],
    dump_ids text[],
    -- what was recorded later stays in any case
    before timestamptz
)
    -- rows of backups and dumps that were taken away
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    bases text[];
    dumps text[];
begin
    bases := array(
        select b.manifest_key from backup._base_backup b
        where b.system_identifier = _forget_folders.system_identifier and b.recorded_at < before
          and b.backup_id <> all (backup_ids));
    dumps := array(
        select d.manifest_key from backup._dump d
        where d.system_identifier = _forget_folders.system_identifier and d.finished_at < before
          and d.dump_id <> all (dump_ids));
    -- Folders, up to the last slash of the manifest's key: all that lies there goes with it.
    delete from backup._object o
    using (select regexp_replace(m.key, '[^/]*$', '') as folder from unnest(bases || dumps) m (key)) g
    where starts_with(o.key, g.folder);
    delete from backup._base_backup b where b.manifest_key = any (bases);
    delete from backup._dump d where d.manifest_key = any (dumps);
    return cardinality(bases) + cardinality(dumps);
end
$$;

comment on function backup._forget_folders(bigint, text[], text[], timestamptz) is
    'Take backups and dumps that are no longer stored out of the catalog, with their objects. Their jobs stay.';

create or replace function backup._forget_wal(
    system_identifier bigint,
    -- what is stored: [{timeline, from_lsn, to_lsn}, ...]
    stored jsonb,
    -- what was recorded later stays in any case
    before timestamptz,
    -- why it is gone, for backup.wal_gaps
    reason text
)
    -- rows of segments that were taken away
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    gone record;
    old record;
    removed bigint := 0;
begin
    for gone in
        with deleted as (
            delete from backup._wal_segment w
            where w.system_identifier = _forget_wal.system_identifier and w.stored_at < before
              and not exists (
                  select from jsonb_to_recordset(stored) k (timeline integer, from_lsn pg_lsn, to_lsn pg_lsn)
                  where k.timeline = w.timeline and k.from_lsn <= w.start_lsn and w.start_lsn < k.to_lsn)
            returning w.timeline, backup.lsn_range(w.start_lsn, w.start_lsn + w.segment_bytes::numeric) as lsns
        )
        select d.timeline, range_agg(d.lsns) as lsns, count(*) as segments from deleted d group by d.timeline
    loop
        removed := removed + gone.segments;
        for old in
            delete from backup._wal_range r
            where r.system_identifier = _forget_wal.system_identifier and r.timeline = gone.timeline
              and r.lsns && gone.lsns
            returning r.lsns, r.last_commit_at
        loop
            insert into backup._wal_range (system_identifier, timeline, lsns, last_commit_at)
            select _forget_wal.system_identifier, gone.timeline, l.lsns,
                   -- The newest of all is at the end; of what lay before, the rows of segments tell.
                   case when upper(l.lsns) = upper(old.lsns) then old.last_commit_at else (
                       select max(s.last_commit_at) from backup._wal_segment s
                       where s.system_identifier = _forget_wal.system_identifier and s.timeline = gone.timeline
                         and s.start_lsn >= lower(l.lsns) and s.start_lsn < upper(l.lsns)) end
            from unnest(backup.lsn_multirange(old.lsns) - gone.lsns) l (lsns);
        end loop;
        -- Known, so that no worker takes it for a loss that it has just found.
        with missing as (
            select m.*, m.on_timeline = gone.timeline
                        and backup.lsn_range(m.from_lsn, m.to_lsn) && gone.lsns as is_forgotten
            from backup._missing_between(_forget_wal.system_identifier) m
        )
        insert into backup._wal_gap as g (system_identifier, timeline, from_lsn, to_lsn, reason)
        select _forget_wal.system_identifier, m.on_timeline, m.from_lsn, max(m.to_lsn), _forget_wal.reason
        from missing m
        where exists (select from missing f
                      where f.is_forgotten and f.again_on = m.again_on and f.again_from = m.again_from)
        group by m.on_timeline, m.from_lsn
        on conflict on constraint wal_gap_pk do update set to_lsn = greatest(g.to_lsn, excluded.to_lsn);
    end loop;
    return removed;
end
$$;

comment on function backup._forget_wal(bigint, jsonb, timestamptz, text) is
    'Take WAL that is no longer stored out of the catalog.';

create or replace function backup._record_kept(
    -- as the issuer passes it on: {postbox_kept: 1, system_identifier (as a bigint), listed_at, backups, dumps: [id, ...],
    -- wal: [{timeline, from_lsn, to_lsn}, ...] or null}
    kept jsonb
)
    -- how many rows were of what is no longer stored
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    system bigint := (kept ->> 'system_identifier')::bigint;
    -- Clocks differ, and a row is written after its object.
    before timestamptz := (kept ->> 'listed_at')::timestamptz - interval '1 hour';
    removed bigint;
begin
    if kept ->> 'postbox_kept' is distinct from '1' or system is null or before is null
       or jsonb_typeof(kept -> 'backups') is distinct from 'array'
       or jsonb_typeof(kept -> 'dumps') is distinct from 'array' then
        raise exception using
            errcode = 'PB001', message = 'this does not say what is stored',
            hint = 'The issuer passes on what "postbox prune" has listed.';
    end if;
    -- In turn with whoever records segments.
    perform pg_advisory_xact_lock(x'77706f7374626f78'::bigint);
    removed := backup._forget_folders(system, array(select jsonb_array_elements_text(kept -> 'backups')),
        array(select jsonb_array_elements_text(kept -> 'dumps')), before);
    if jsonb_typeof(kept -> 'wal') = 'array' then
        removed := removed + backup._forget_wal(system, kept -> 'wal', before, 'it was pruned: no kept backup needs it');
    end if;
    return removed;
end
$$;

comment on function backup._record_kept(jsonb) is
    'Hear from the keyholder what is stored after a prune, and offer no longer what is not. The same again is nothing new.';
