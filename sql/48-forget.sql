-- What the bucket no longer has goes out of the catalog, so that no view offers it.
create or replace function backup._forget_folders(
    system_identifier bigint,
    backup_ids text[],
    dump_ids text[]
)
    -- rows of backups and dumps that were taken away
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    gone text[];
    bases bigint;
    dumps bigint;
begin
    -- Folders, up to the last slash of the manifest's key: all that lies there goes with it.
    gone := array(
        select regexp_replace(b.manifest_key, '[^/]*$', '') from backup._base_backup b
        where b.system_identifier = _forget_folders.system_identifier and b.backup_id = any (backup_ids)
        union all
        select regexp_replace(d.manifest_key, '[^/]*$', '') from backup._dump d
        where d.system_identifier = _forget_folders.system_identifier and d.dump_id = any (dump_ids));
    delete from backup._object o using unnest(gone) g (folder) where starts_with(o.key, g.folder);
    delete from backup._base_backup b
    where b.system_identifier = _forget_folders.system_identifier and b.backup_id = any (backup_ids);
    get diagnostics bases = row_count;
    delete from backup._dump d
    where d.system_identifier = _forget_folders.system_identifier and d.dump_id = any (dump_ids);
    get diagnostics dumps = row_count;
    return bases + dumps;
end
$$;

comment on function backup._forget_folders(bigint, text[], text[]) is
    'Take backups and dumps that are no longer stored out of the catalog, with their objects. Their jobs stay.';

create or replace function backup._forget_wal(
    system_identifier bigint
)
    -- rows that were taken away: those of pg_temp.missing_wal (timeline, start_lsn, end_lsn)
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    stretch record;
    old record;
    removed bigint;
begin
    delete from backup._wal_segment w using pg_temp.missing_wal m
    where w.system_identifier = _forget_wal.system_identifier and w.timeline = m.timeline and w.start_lsn = m.start_lsn;
    get diagnostics removed = row_count;
    for stretch in
        select m.timeline, range_agg(backup.lsn_range(m.start_lsn, m.end_lsn)) as lsns
        from pg_temp.missing_wal m group by m.timeline
    loop
        for old in
            delete from backup._wal_range r
            where r.system_identifier = _forget_wal.system_identifier and r.timeline = stretch.timeline
              and r.lsns && stretch.lsns
            returning r.lsns, r.last_commit_at
        loop
            insert into backup._wal_range (system_identifier, timeline, lsns, last_commit_at)
            select _forget_wal.system_identifier, stretch.timeline, l.lsns,
                   -- The newest of all is at the end; of what lay before, the rows of segments tell.
                   case when upper(l.lsns) = upper(old.lsns) then old.last_commit_at else (
                       select max(s.last_commit_at) from backup._wal_segment s
                       where s.system_identifier = _forget_wal.system_identifier and s.timeline = stretch.timeline
                         and s.start_lsn >= lower(l.lsns) and s.start_lsn < upper(l.lsns)) end
            from unnest(backup.lsn_multirange(old.lsns) - stretch.lsns) l (lsns);
        end loop;
    end loop;
    return removed;
end
$$;

comment on function backup._forget_wal(bigint) is 'Take WAL that is no longer stored out of the catalog.';
