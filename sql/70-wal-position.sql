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

create or replace function backup._rows_slot(
    -- the slot that WAL is streamed from
    slot text
)
    -- Name of the one that is there only while stored segments have no row yet, and keeps their WAL: the first says
    -- what is stored, and moves on before that is written down (src/worker/rows-slot.ts).
    returns text
    language sql
    immutable parallel safe
    set search_path = pg_catalog, pg_temp
return left(slot, 58) || '_rows';

comment on function backup._rows_slot(text) is 'Name of the second replication slot.';

create or replace function backup._shown_position()
    -- What the worker shows in its session's name while it reads WAL from a standby; no row otherwise. Nobody but the
    -- holder of the worker lock is believed. streaming: it reads now. waits_since: since when the WAL behind durable_lsn
    -- waits; when the worker last looked, if none did (src/worker/position-watch.ts).
    returns table (timeline integer, durable_lsn pg_lsn, waits_since timestamptz, streaming boolean)
    language sql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    select p.part[1]::integer, p.part[2]::pg_lsn,
           to_timestamp(p.part[3]::float8), p.part[4] = 'reads'
    from backup._worker_session() w
    join pg_stat_activity a on a.pid = w.pid
    cross join lateral regexp_match(a.application_name,
        '^postbox worker ([0-9]{1,9}) ([0-9A-F]{1,8}/[0-9A-F]{1,8}) ([0-9]{1,11}\.[0-9]) (reads|waits)$') p (part)
    where w.is_worker and p.part is not null
$$;

comment on function backup._shown_position() is
    'How far WAL is safe, as the worker says it where no slot of this server does.';

create or replace function backup._position_by_standby()
    -- How far WAL of the timeline that is written now is stored: by the worker, else by the rows of segments.
    -- One row on a primary whose WAL is read from a standby, otherwise none.
    returns table (standby text, durable_lsn pg_lsn, waits_since timestamptz, streaming boolean)
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
    select p.durable_lsn, p.waits_since, p.streaming into durable_lsn, waits_since, streaming
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
    -- streaming: a worker reads from the slot now. slot_state: pg_replication_slots.wal_status.
    -- durable_lsn: all WAL before it is stored. kept_bytes: WAL that is kept in pg_wal for Postbox.
    -- streaming_since: since when it reads. idle_since: since when nobody does (Postgres 17 and later).
    -- waits_since: since when the WAL behind durable_lsn waits, as the worker said last; its time then if none did.
    -- standby: where WAL is read from and the slot is, so that the worker alone tells of it; null: here.
    returns table (
        current_lsn pg_lsn, slot_exists boolean, streaming boolean, slot_state text, safe_wal_size bigint,
        durable_lsn pg_lsn, kept_bytes bigint, streaming_since timestamptz, idle_since timestamptz,
        waits_since timestamptz, standby text
    )
    language sql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    select n.current_lsn, s.slot_name is not null,
           case when b.standby is null then coalesce(s.active, false) else b.streaming end,
           s.wal_status, s.safe_wal_size,
           -- An owner of the catalog who cannot see pg_stat_replication sees where the slot was moved to.
           case when b.standby is null then coalesce(r.flush_lsn, s.restart_lsn
                   -- What lies before it in its segment was never read through a slot that was made there.
                   - case when s.restart_lsn = w.slot_made_at
                       then (s.restart_lsn - '0/0'::pg_lsn) % pg_size_bytes(current_setting('wal_segment_size'))
                       else 0 end)
               else b.durable_lsn end,
           (case when s.restart_lsn is not null
               then greatest(n.current_lsn - least(s.restart_lsn, o.restart_lsn), 0) end)::bigint,
           case when b.standby is null then r.backend_start end,
           -- A column of newer versions only.
           case when b.standby is null then (to_jsonb(s) ->> 'inactive_since')::timestamptz end,
           -- Not the time of a reply, but what stands there (src/source/standby-status.ts). Others write their own.
           case when b.standby is not null then b.waits_since
                when r.application_name = 'postbox' then r.reply_time end,
           b.standby
    from (
        select case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end as current_lsn
    ) n
    left join backup._position_by_standby() b on true
    left join pg_replication_slots s on s.slot_name = backup._setting_value('slot') and s.slot_type = 'physical'
    left join pg_replication_slots o on o.slot_name = backup._rows_slot(s.slot_name)
    left join pg_stat_replication r on r.pid = s.active_pid
    left join backup._worker w on true
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
    -- Nobody has a state who has not said yet what is stored. Then, and for an owner who cannot see it, the list counts:
    -- tails that are posted too soon are the lesser harm.
    select case when pg_has_role('pg_read_all_stats', 'usage') then exists (
            select from pg_stat_replication r
            where r.application_name = _is_synchronous.application_name
              and (r.sync_state in ('sync', 'quorum') or (r.flush_lsn is null and l.is_listed)))
        else l.is_listed end
    from backup._is_listed(_is_synchronous.application_name) l (is_listed)
$$;

comment on function backup._is_synchronous(text) is
    'Whether a COMMIT waits for the worker (synchronous_standby_names), which pg_stat_replication tells monitors alone.';

create or replace function backup._at_risk()
    -- Always one row, of one moment. since: when the oldest WAL that is not stored was written; null when all is.
    -- Nulls without a slot, and a null for seconds_at_risk where the age of what waits cannot be seen.
    returns table (durable_lsn pg_lsn, bytes_at_risk bigint, seconds_at_risk numeric, since timestamptz)
    language plpgsql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
declare
    segment_bytes numeric := pg_size_bytes(current_setting('wal_segment_size'));
    wal record;
    worker record;
    written_from pg_lsn;
begin
    select p.* into wal from backup._wal_position() p;
    durable_lsn := wal.durable_lsn;
    bytes_at_risk := greatest(wal.current_lsn - coalesce(wal.durable_lsn, wal.current_lsn), 0);
    if wal.durable_lsn is null or wal.current_lsn is null then
        bytes_at_risk := null;
        return next;
        return;
    elsif bytes_at_risk = 0 then
        seconds_at_risk := 0;
        return next;
        return;
    end if;
    select w.started_at, w.problems, w.at_risk_from, w.at_risk_since, w.slot_made_at into worker from backup._worker w;
    -- What was there when the first slot was made waited for nobody, though it is not stored either.
    written_from := wal.durable_lsn;
    if worker.slot_made_at - (worker.slot_made_at - '0/0'::pg_lsn) % segment_bytes = wal.durable_lsn
       and not exists (select from backup._wal_range r join pg_control_system() c using (system_identifier)) then
        written_from := worker.slot_made_at;
    end if;

    if wal.streaming or wal.waits_since is not null then
        since := coalesce(wal.waits_since, wal.streaming_since);
    else
        -- Nobody streams: what waits came since the last one did. Before Postgres 17 that is known by its traces alone.
        since := coalesce(wal.idle_since, greatest(
            worker.started_at, (worker.problems -> 'wal' ->> 'since')::timestamptz,
            (select s.stored_at from backup._wal_segment s
             where s.system_identifier = (select c.system_identifier from pg_control_system() c)
             order by s.timeline desc, s.start_lsn desc limit 1)));
    end if;

    -- What else shows that WAL is older, as when a worker begins that has not seen it come: what the one before knew
    -- of the same byte, a checkpoint behind it (its time is cut to the second), a finished file that holds it.
    since := least(since,
        case when wal.durable_lsn <= worker.at_risk_from then worker.at_risk_since end,
        (select c.checkpoint_time + interval '1 second' from pg_control_checkpoint() c
         where c.redo_lsn > written_from),
        backup._wal_written_at(wal.durable_lsn, wal.current_lsn));
    if since is not null then
        seconds_at_risk := round(greatest(extract(epoch from clock_timestamp() - since), 0), 3);
    end if;
    return next;
end
$$;

comment on function backup._at_risk() is 'How much WAL is not yet in the box, and how old the oldest of it is.';

create or replace function backup._report_at_risk(
    -- first byte that is not stored
    from_lsn pg_lsn,
    -- when it was written
    since timestamptz
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if from_lsn is null or since is null then
        raise exception using
            errcode = 'PB001', message = 'WAL that waits has an LSN and a time',
            hint = 'Pass the first byte that is not stored, and when it was written.';
    end if;
    update backup._worker w
    set at_risk_from = _report_at_risk.from_lsn, at_risk_since = _report_at_risk.since
    where (w.at_risk_from, w.at_risk_since)
        is distinct from (_report_at_risk.from_lsn, _report_at_risk.since);
end
$$;

comment on function backup._report_at_risk(pg_lsn, timestamptz) is
    'Keep since when WAL waits, for the time in which nobody streams. Written only when it changes.';

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
