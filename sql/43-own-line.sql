create or replace function backup._server_timeline()
    -- the one that this server writes; as a standby, the one of its last checkpoint
    returns integer
    language sql
    stable
    set search_path = pg_catalog, pg_temp
return case when pg_is_in_recovery() then (select c.timeline_id from pg_control_checkpoint() c)
    else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end;

comment on function backup._server_timeline() is 'The timeline that this server is on.';

create or replace function backup._line(
    system_identifier bigint,
    timeline integer
)
    -- The timeline and those that it came from, each with the LSN where it was left; null: nowhere. One whose history
    -- is not stored yet is taken to have come from the one before it.
    returns table (on_timeline integer, to_lsn pg_lsn)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with recursive line as (
        select _line.timeline as timeline, null::pg_lsn as to_lsn
        union all
        select coalesce(t.parent_timeline, l.timeline - 1), least(t.switch_lsn, l.to_lsn)
        from line l
        left join backup._timeline t on t.system_identifier = _line.system_identifier and t.timeline = l.timeline
        where l.timeline > 1
    )
    select l.timeline, l.to_lsn from line l
$$;

comment on function backup._line(bigint, integer) is 'The way that a timeline came: WAL of others is none of its past.';

create or replace function backup._bases_on_line(
    system_identifier bigint,
    timeline integer
)
    -- the base backups from which the timeline is reached
    returns setof backup._base_backup
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select b.*
    from backup._line(_bases_on_line.system_identifier, _bases_on_line.timeline) l
    join backup._base_backup b
        on b.system_identifier = _bases_on_line.system_identifier and b.timeline = l.on_timeline
        and (l.to_lsn is null or b.stop_lsn <= l.to_lsn)
$$;

comment on function backup._bases_on_line(bigint, integer) is
    'Base backups of the cluster as it is: none from before an upgrade, nor of a life that a restore has left.';

create or replace function backup._own_line()
    -- that of this server
    returns table (system_identifier bigint, timeline integer, to_lsn pg_lsn)
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select c.system_identifier, l.on_timeline, l.to_lsn
    from pg_control_system() c
    cross join lateral backup._line(c.system_identifier, backup._server_timeline()) l
$$;

comment on function backup._own_line() is 'The timelines that this server came by, each with where it was left.';

create or replace function backup._own_bases()
    -- from which this server is reached
    returns table (backup_id text, start_lsn pg_lsn, stopped_at timestamptz)
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select b.backup_id, b.start_lsn, b.stopped_at
    from pg_control_system() c
    cross join lateral backup._bases_on_line(c.system_identifier, backup._server_timeline()) b
$$;

comment on function backup._own_bases() is 'Base backups of this server as it is.';
