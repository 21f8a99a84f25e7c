create or replace function backup._check_wal_backlog()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
declare
    bytes bigint := (select r.bytes_at_risk from backup._at_risk() r);
    limit_bytes bigint := backup._setting_value('wal_max_at_risk')::bigint;
    last_stored timestamptz := (
        select s.stored_at from backup._wal_segment s
        where s.system_identifier = (select c.system_identifier from pg_control_system() c)
        order by s.timeline desc, s.start_lsn desc limit 1);
    last_segment text := coalesce('; the last segment was stored at ' || last_stored, '; no segment was stored yet');
begin
    name := 'wal_backlog';
    if bytes is null then
        -- Of what is not known wal_delay speaks.
        state := case when pg_is_in_recovery() then 'warn' else 'crit' end;
        message := 'how much WAL is not stored is not known' || last_segment;
        hint := 'See the checks wal_delay, worker and slot.';
    else
        state := case when bytes > limit_bytes then 'crit' when bytes > limit_bytes / 2 then 'warn' else 'ok' end;
        message := format('%s of WAL %s not stored yet%s', pg_size_pretty(bytes), case when bytes = 1 then 'is' else 'are' end,
            last_segment);
        hint := case when state <> 'ok' then
            'More is written than the box takes: see the checks box and worker, and compression_level. The limit is '
            'the setting wal_max_at_risk.' end;
    end if;
    return next;
end
$$;

comment on function backup._check_wal_backlog() is 'Check: not too much is written since what was stored last.';

create or replace function backup._check_schedules()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
declare
    worst record;
    schedules bigint := (select count(*) from backup._schedule);
begin
    name := 'schedules';
    select p.* into worst from (
        select case
            when s.error_message is not null then 'crit'
            -- The worker looks every few seconds.
            when coalesce(s.next_run_at, s.set_at) < now() - interval '5 minutes' then 'crit'
            when s.last_run_at > now() + interval '1 hour' or s.last_skipped_at > s.last_run_at then 'warn' end as state,
            case
            when s.error_message is not null then s.error_message
            when s.next_run_at < now() - interval '5 minutes' then format('it was due at %s', s.next_run_at)
            when coalesce(s.next_run_at, s.set_at) < now() - interval '5 minutes' then 'nobody has computed its next run'
            when s.last_run_at > now() + interval '1 hour' then format('by this clock it ran in the future, at %s', s.last_run_at)
            else format('the run of %s was skipped, because job %s had not ended', s.last_skipped_at, s.last_job_id) end as message,
            case
            when s.error_message is not null then s.error_hint
            when coalesce(s.next_run_at, s.set_at) < now() - interval '5 minutes' then
                'See the check worker: it is run as soon as one is there.'
            when s.last_run_at > now() + interval '1 hour' then 'Set it again: select backup.schedule(...).'
            else 'Give it more time between its runs: see backup.schedules and backup.jobs.' end as hint,
            s.name
        from backup.schedules s
    ) p
    where p.state is not null
    order by p.state, p.name limit 1;
    state := coalesce(worst.state, 'ok');
    message := case when worst.state is not null then format('the schedule %s: %s', worst.name, worst.message)
        when schedules = 0 then 'nothing is scheduled'
        else format('the next run is at %s', (select min(r.next_run_at) from backup._schedule_run r)) end;
    -- Set a moment ago, so that no run is known yet.
    message := coalesce(message, format('%s schedules were set', schedules));
    hint := worst.hint;
    return next;
end
$$;

comment on function backup._check_schedules() is 'Check: what is scheduled was run, and will be.';

create or replace function backup._check_machine()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 2
    set search_path = pg_catalog, pg_temp
as $$
declare
    facts jsonb := coalesce((select w.facts from backup._worker w), '{}');
    box_skew numeric := (facts ->> 'box_skew_seconds')::numeric;
    database_skew numeric := (facts ->> 'database_skew_seconds')::numeric;
    skew numeric := greatest(abs(box_skew), abs(database_skew));
    allowed numeric := extract(epoch from backup._setting_value('clock_max_skew')::interval);
    free numeric := (facts #>> '{disk,free_bytes}')::numeric;
    total numeric := (facts #>> '{disk,total_bytes}')::numeric;
    percent numeric := 100 * free / nullif(total, 0);
    least_percent numeric := backup._setting_value('disk_min_free')::numeric;
begin
    name := 'clock';
    state := case when skew > greatest(600, allowed) then 'crit' when skew > allowed then 'warn' else 'ok' end;
    message := case
        when skew is null then 'no clock was compared yet'
        when state = 'ok' then 'the clocks of worker, server and box agree'
        when abs(box_skew) = skew then format('the clock of the box is %s s %s that of the worker', skew,
            case when box_skew > 0 then 'ahead of' else 'behind' end)
        else format('the clock of the server is %s s %s that of the worker', skew,
            case when database_skew > 0 then 'ahead of' else 'behind' end) end;
    hint := case when state <> 'ok' then
        'Set the clocks by NTP: S3 refuses what is 15 minutes off, and times to restore to go by the server''s.' end;
    return next;

    name := 'disk';
    state := case when percent < least_percent / 2 then 'crit' when percent < least_percent then 'warn' else 'ok' end;
    message := case when percent is null
        then 'the worker does not see the disk of the server; what is kept for it is in the check slot_limit'
        when facts #> '{disk,of_data_directory}' = 'true'
        then format('%s of %s are free on the disk of the data directory; whether pg_wal is on another, the worker may '
            'not see', pg_size_pretty(free), pg_size_pretty(total))
        else format('%s of %s are free where the WAL lies', pg_size_pretty(free), pg_size_pretty(total)) end;
    hint := case when state <> 'ok' then
        'A full disk stops the server: make room, and see the check slot_limit for what is kept for Postbox.' end;
    return next;
end
$$;

comment on function backup._check_machine() is 'Checks: what the worker measured of clocks and of the disk.';
