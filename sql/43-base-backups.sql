create or replace function backup._finish_base(
    job_id bigint,
    -- {backup_id, label, system_identifier, timeline, start_lsn, stop_lsn, started_at, stopped_at, raw_bytes,
    -- stored_bytes, parts, manifest_key, manifest_sha256 (hex), postgres_version_num}
    description jsonb
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    fresh backup._base_backup;
    missing text;
begin
    -- A cancel that comes after the manifest was stored comes too late: the backup exists.
    perform backup._lock_running(_finish_base.job_id);

    select string_agg(n.name, ', ') into missing
    from unnest(array['backup_id', 'system_identifier', 'timeline', 'start_lsn', 'stop_lsn', 'started_at', 'stopped_at',
        'raw_bytes', 'stored_bytes', 'parts', 'manifest_key', 'manifest_sha256', 'postgres_version_num']) n (name)
    where description ->> n.name is null;
    if missing is not null or description is null or backup._from_hex(description ->> 'manifest_sha256') is null then
        raise exception using
            errcode = 'PB001',
            message = format('base backup %s is not described whole', coalesce(description ->> 'backup_id', 'null')),
            hint = format('Check: %s.', coalesce(missing, 'manifest_sha256, 64 hex digits'));
    end if;

    fresh := jsonb_populate_record(null::backup._base_backup,
        description - 'manifest_sha256' || jsonb_build_object('job_id', _finish_base.job_id, 'recorded_at', now()));
    fresh.manifest_sha256 := backup._from_hex(description ->> 'manifest_sha256');
    if not backup._covers_wal(fresh.system_identifier, fresh.timeline, fresh.start_lsn, fresh.stop_lsn) then
        raise exception using
            errcode = 'PB020',
            message = format('base backup %s needs WAL from %s to %s of timeline %s, and not all of it is stored',
                fresh.backup_id, fresh.start_lsn, fresh.stop_lsn, fresh.timeline),
            hint = 'See backup.wal_coverage and backup.wal_gaps; without that WAL the backup cannot be restored.';
    end if;

    insert into backup._base_backup select fresh.*;
    update backup._job j
    set state = 'done', ended_at = now(), error = null, phase = null,
        bytes_done = greatest(j.bytes_done, fresh.raw_bytes), bytes_total = greatest(j.bytes_done, fresh.raw_bytes)
    where j.job_id = _finish_base.job_id;
end
$$;

comment on function backup._finish_base(bigint, jsonb) is
    'Commit a base backup: its row and the end of its job in one. PB020 when WAL between start and stop is missing.';

create or replace function backup._previous_manifest(
    system_identifier bigint
)
    -- SHA-256 of the manifest that was stored last; null before the first
    returns bytea
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select b.manifest_sha256 from backup._base_backup b
    where b.system_identifier = _previous_manifest.system_identifier
    -- A backup of a standby may go back to an earlier time than the one before it.
    order by b.recorded_at desc, b.backup_id desc
    limit 1
$$;

comment on function backup._previous_manifest(bigint) is 'What the next manifest names as its predecessor.';
