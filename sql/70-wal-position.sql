create or replace function backup._wal_written_at(
    lsn pg_lsn,
    current_lsn pg_lsn
)
    -- When the segment that holds the LSN was last written. Null while it is still written to, and when that cannot be
    -- seen: the owner of the catalog is no superuser, or this is a standby.
    returns timestamptz
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    segment_bytes numeric := pg_size_bytes(current_setting('wal_segment_size'));
    next_start pg_lsn := lsn + segment_bytes - (lsn - '0/0'::pg_lsn) % segment_bytes;
begin
    if current_lsn < next_start or pg_is_in_recovery()
       or not has_function_privilege('pg_stat_file(text, boolean)', 'execute') then
        return null;
    end if;
    -- At a boundary the name would be that of the segment before.
    return (pg_stat_file('pg_wal/' || pg_walfile_name(lsn + 1::numeric), true)).modification;
end
$$;

comment on function backup._wal_written_at(pg_lsn, pg_lsn) is 'Age of finished WAL, by its file in pg_wal.';

create or replace function backup._shown_position()
    -- What the worker shows in its session's name while it reads WAL from a standby; no row otherwise. Nobody but the
    -- holder of the worker lock is believed. streaming: it reads now. unsafe_since: age of the oldest WAL that is not
    -- stored; null when all was.
    returns table (timeline integer, durable_lsn pg_lsn, unsafe_since timestamptz, streaming boolean)
    language sql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    select p.part[1]::integer, p.part[2]::pg_lsn,
           case when p.part[3] <> '-' then to_timestamp(p.part[3]::float8) end, p.part[4] = 'streaming'
    from backup._worker_session() w
    join pg_stat_activity a on a.pid = w.pid
    cross join lateral regexp_match(a.application_name,
        '^postbox worker ([0-9]{1,9}) ([0-9A-F]{1,8}/[0-9A-F]{1,8}) (-|[0-9]{1,11}) (streaming|waiting)$') p (part)
    where w.is_worker and p.part is not null
$$;

comment on function backup._shown_position() is
    'How far WAL is safe, as the worker says it where no slot of this server does.';

create or replace function backup._position_by_standby()
    -- How far WAL of the timeline that is written now is stored: by the worker, else by the rows of segments.
    -- One row on a primary whose WAL is read from a standby, otherwise none.
    returns table (standby text, durable_lsn pg_lsn, unsafe_since timestamptz, streaming boolean)
    language plpgsql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
declare
    timeline_now integer;
begin
    select w.standby into standby from backup._worker w;
    if standby is null or pg_is_in_recovery() then
        return;
    end if;
    timeline_now := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer;
    -- What is stored of the timeline before this one says nothing of this one.
    select p.durable_lsn, p.unsafe_since, p.streaming into durable_lsn, unsafe_since, streaming
    from backup._shown_position() p where p.timeline = timeline_now;
    streaming := coalesce(streaming, false);
    if durable_lsn is null then
        select max(upper(r.lsns)) into durable_lsn
        from backup._wal_range r
        where r.system_identifier = (select c.system_identifier from pg_control_system() c)
          and r.timeline = timeline_now;
    end if;
    return next;
end
$$;

comment on function backup._position_by_standby() is
    'How far WAL is safe on a primary whose WAL is read from a standby.';

create or replace function backup._wal_position()
    -- Always one row. Without a slot only current_lsn is known.
    -- standby: where WAL is read and the slot is; null: here. streaming: a worker reads WAL now. slot_state:
    -- pg_replication_slots.wal_status. durable_lsn: all WAL before it is stored. kept_bytes: WAL that the slot keeps in
    -- pg_wal. flush_lag: how long the last stored WAL took. idle_since: since when nobody reads (Postgres 17 and later).
    -- unsafe_since: age of the oldest WAL that is not stored, as the worker knows it that reads from a standby.
    returns table (
        current_lsn pg_lsn, slot_exists boolean, streaming boolean, reader_name text, slot_state text,
        safe_wal_size bigint, durable_lsn pg_lsn, kept_bytes bigint, flush_lag interval, idle_since timestamptz,
        standby text, unsafe_since timestamptz
    )
    language sql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    select n.current_lsn, s.slot_name is not null,
           case when b.standby is null then coalesce(s.active, false) else b.streaming end,
           a.application_name, s.wal_status, s.safe_wal_size,
           -- Flushed is what the catalog has recorded too; the slot begins there.
           case when b.standby is null then coalesce(r.write_lsn, s.restart_lsn) else b.durable_lsn end,
           (case when s.restart_lsn is not null then greatest(n.current_lsn - s.restart_lsn, 0) end)::bigint,
           case when b.standby is null then r.write_lag end,
           -- A column of newer versions only.
           case when b.standby is null then (to_jsonb(s) ->> 'inactive_since')::timestamptz end,
           b.standby, b.unsafe_since
    from (
        select case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end as current_lsn
    ) n
    left join backup._position_by_standby() b on true
    left join pg_replication_slots s on s.slot_name = backup._setting_value('slot') and s.slot_type = 'physical'
    left join pg_stat_replication r on r.pid = s.active_pid
    left join pg_stat_activity a on a.pid = s.active_pid
$$;

comment on function backup._wal_position() is 'How far WAL is safe, seen without pg_monitor.';

create or replace function backup._is_synchronous(
    -- of the worker's WAL stream
    application_name text
)
    -- whether a COMMIT waits for it
    returns boolean
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    -- An owner who cannot see the state goes by the list: tails that are posted too soon are the lesser harm.
    select case when pg_has_role('pg_read_all_stats', 'usage') then exists (
            select from pg_stat_replication r
            where r.application_name = _is_synchronous.application_name and r.sync_state in ('sync', 'quorum'))
        else current_setting('synchronous_standby_names')
            ~ ('(^|[^[:alnum:]_])(' || _is_synchronous.application_name || '|\*)($|[^[:alnum:]_])') end
$$;

comment on function backup._is_synchronous(text) is
    'Whether a COMMIT waits for the worker (synchronous_standby_names), which pg_stat_replication tells monitors alone.';

create or replace function backup._seconds_at_risk()
    -- age of the oldest WAL that is not stored; null when nothing is known of it
    returns numeric
    language plpgsql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    wal record;
    segment record;
    trouble_at timestamptz;
    since timestamptz;
begin
    select p.* into wal from backup._wal_position() p;
    if wal.durable_lsn is null or wal.current_lsn is null then
        return null;
    elsif wal.current_lsn <= wal.durable_lsn then
        return 0;
    end if;
    select s.start_lsn + s.segment_bytes::numeric as end_lsn, s.stored_at into segment
    from backup._wal_segment s
    order by s.system_identifier desc, s.timeline desc, s.start_lsn desc
    limit 1;

    if not wal.streaming and wal.unsafe_since is null then
        select w.started_at into since from backup._worker w;
        since := coalesce(wal.idle_since, greatest(since, segment.stored_at));
        return round(extract(epoch from clock_timestamp() - since), 3);
    end if;

    -- flush_lag stands still while nothing gets stored, so each other sign of age counts too. A trouble is as old as
    -- its first report; a checkpoint or a finished file behind the stored position is as old as it says.
    select min((t.problem ->> 'since')::timestamptz) into trouble_at
    from backup._worker w cross join lateral jsonb_each(w.problems) t (component, problem)
    where t.component in ('box', 'wal');
    since := least(clock_timestamp() - wal.flush_lag, wal.unsafe_since, trouble_at,
        (select c.checkpoint_time from pg_control_checkpoint() c where c.checkpoint_lsn > wal.durable_lsn),
        backup._wal_written_at(wal.durable_lsn, wal.current_lsn));
    -- Only whole segments were stored: what came after the last of them waits since then. A server that was idle has
    -- no flush_lag, and what it writes first is new.
    if wal.flush_lag is not null and wal.durable_lsn <= segment.end_lsn then
        since := least(since, segment.stored_at);
    end if;
    return round(extract(epoch from clock_timestamp() - coalesce(since, clock_timestamp())), 3);
end
$$;

comment on function backup._seconds_at_risk() is 'How old the oldest WAL is that is not yet in the box.';

create or replace function backup._worker_report()
    -- What the last worker said of itself; no row before the first. problem: the one that began last.
    returns table (version text, started_at timestamptz, problems jsonb, problem jsonb)
    language sql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    select w.version, w.started_at, w.problems,
           (select t.problem from jsonb_each(w.problems) t (component, problem)
            order by t.problem ->> 'since' desc limit 1)
    from backup._worker w
$$;

comment on function backup._worker_report() is 'What the last worker said of itself.';
