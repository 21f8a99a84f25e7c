create or replace function backup._check_wal_delay()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 2
    set search_path = pg_catalog, pg_temp
as $$
declare
    seconds numeric := (select r.seconds_at_risk from backup._at_risk() r);
    limit_seconds numeric := extract(epoch from backup._setting_value('wal_max_delay')::interval);
    newest_start pg_lsn;
    gap record;
    healing_job bigint;
begin
    name := 'wal_delay';
    if seconds is null and pg_is_in_recovery() then
        state := 'warn';
        message := 'this is a standby: how far WAL is stored is seen on the primary';
        hint := 'Ask there: select * from backup.checks.';
    elsif seconds is null then
        state := 'crit';
        message := 'nothing is known of the WAL that is stored';
        hint := 'See the checks worker and slot. The owner of the schema backup needs the role pg_read_all_stats.';
    else
        state := case
            when seconds > limit_seconds then 'crit'
            when seconds > limit_seconds / 2 then 'warn'
            else 'ok' end;
        message := format('the oldest WAL that is not stored is %s s old', round(seconds, 1));
        hint := case when state <> 'ok' then
            'See the checks worker, grant and box. The limit is the setting wal_max_delay.' end;
    end if;
    return next;

    -- A gap is healed by the next base backup; what lay before it stays restorable up to the gap. Gaps and backups of a
    -- cluster before an upgrade, or of a life that a restore has left, are nothing to this server.
    name := 'wal_gap';
    newest_start := (select max(b.start_lsn) from backup._own_bases() b);
    select count(*) as gaps, max(g.to_lsn) as to_lsn,
           count(*) filter (where g.to_lsn > coalesce(newest_start, '0/0')) as open_gaps,
           (array_agg(g.reason order by g.to_lsn desc))[1] as reason
    into gap
    from (
        select g.from_lsn, least(g.to_lsn, l.to_lsn) as to_lsn, g.reason
        from backup.wal_gaps g
        join backup._own_line() l on l.system_identifier = g.system_identifier and l.timeline = g.timeline
        where l.to_lsn is null or g.from_lsn < l.to_lsn
    ) g;
    state := case when gap.open_gaps > 0 then 'crit' else 'ok' end;
    message := case
        when gap.open_gaps > 0 then format('WAL is missing after the newest base backup, up to %s%s',
            gap.to_lsn, ': ' || gap.reason)
        when gap.gaps > 0 then format('WAL is missing in %s places before the newest base backup', gap.gaps)
        else 'the stored WAL has no gap' end;
    healing_job := (
        select max(j.job_id) from backup._job j where j.kind = 'base' and j.state in ('queued', 'running'));
    hint := case
        when gap.open_gaps = 0 then null
        when healing_job is not null then format(
            'Wait for the base backup of job %s: see backup.jobs and backup.wal_gaps.', healing_job)
        else 'Take a base backup: select backup.start_base(). See backup.wal_gaps.' end;
    return next;
end
$$;

comment on function backup._check_wal_delay() is 'Checks: WAL is stored soon enough, and without a gap.';

create or replace function backup._check_dumps_alone()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 5
    set search_path = pg_catalog, pg_temp
as $$
declare
    slot text := backup._setting_value('slot');
    kept_bytes numeric := (select p.kept_bytes from backup._wal_position() p where p.slot_exists);
begin
    state := 'ok';
    message := 'WAL is not stored: the setting stream_wal is off';
    foreach name in array array['wal_delay', 'wal_gap', 'wal_backlog', 'slot_limit'] loop
        return next;
    end loop;
    name := 'slot';
    if current_setting('synchronous_standby_names') ~ '\mpostbox\M' then
        state := 'crit';
        message := 'stream_wal is off, and synchronous_standby_names has each COMMIT wait for postbox';
        hint := 'Take postbox out of synchronous_standby_names, or set stream_wal on.';
    elsif kept_bytes is not null then
        state := 'warn';
        message := format('stream_wal is off, and the replication slot %s keeps %s of WAL for nobody',
            slot, pg_size_pretty(kept_bytes));
        hint := format('Drop it: select pg_drop_replication_slot(%L). Switched on again, WAL then begins with a gap.', slot);
    end if;
    return next;
end
$$;

comment on function backup._check_dumps_alone() is 'Checks of WAL where it is not wanted: all is well, but for a slot that keeps it.';

create or replace function backup._check_slot()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 2
    set search_path = pg_catalog, pg_temp
as $$
declare
    slot text := backup._setting_value('slot');
    wal record;
    limit_mb bigint := (select s.setting::bigint from pg_settings s where s.name = 'max_slot_wal_keep_size');
    own_limit_mb bigint := backup._setting_value('wal_keep_limit')::bigint / 1048576;
    usual_mb bigint := (select 10 * s.setting::bigint from pg_settings s where s.name = 'max_wal_size');
    used numeric;
begin
    select p.* into wal from backup._wal_position() p;
    name := 'slot';
    hint := 'Start the worker: it makes the slot and reads from it.';
    if wal.standby is not null and not wal.streaming then
        state := 'crit';
        message := format('WAL is not read from the standby %s, where the replication slot is', wal.standby);
        hint := 'See the check worker, and whether that standby runs and follows this server.';
    elsif wal.standby is not null and wal.slot_exists then
        state := 'warn';
        message := format('WAL is read from the standby %s, and the replication slot %s of this server keeps %s of WAL '
            'for nobody', wal.standby, slot, pg_size_pretty(wal.kept_bytes));
        hint := format('Drop it here: select pg_drop_replication_slot(%L).', slot);
    elsif wal.standby is not null then
        state := 'ok';
        message := format('WAL is read from the standby %s, and the replication slot is there', wal.standby);
        hint := null;
    elsif not wal.slot_exists and pg_is_in_recovery() then
        state := 'warn';
        message := format('there is no replication slot %s on this standby', slot);
        hint := 'Where WAL is read and kept is seen on the primary: select * from backup.checks.';
    elsif not wal.slot_exists then
        state := 'crit';
        message := format('there is no replication slot %s, so WAL is not kept for Postbox', slot);
    elsif wal.slot_state = 'lost' then
        state := 'crit';
        message := format('the replication slot %s has lost WAL that was not stored', slot);
        hint := 'The worker makes it anew; then take a base backup: select backup.start_base().';
    elsif not wal.streaming then
        state := 'crit';
        message := format('nobody reads from the replication slot %s; it keeps %s of WAL',
            slot, pg_size_pretty(wal.kept_bytes));
    elsif wal.slot_state in ('extended', 'unreserved') then
        state := 'warn';
        message := format('the replication slot %s keeps %s of WAL, more than usual',
            slot, pg_size_pretty(wal.kept_bytes));
        hint := 'The box takes WAL slower than it is written, or not at all: see the checks box and wal_delay.';
    else
        state := 'ok';
        message := format('%s keeps %s of WAL', slot, pg_size_pretty(wal.kept_bytes));
        hint := null;
    end if;
    return next;

    -- Two ways to end badly: a limit is reached and the slot lost, or there is no limit and the disk fills.
    name := 'slot_limit';
    if own_limit_mb > 0 and (limit_mb < 0 or own_limit_mb < limit_mb) then
        limit_mb := own_limit_mb;
    end if;
    used := coalesce(wal.kept_bytes, 0) / 1048576.0;
    if wal.standby is not null and not wal.slot_exists then
        state := 'ok';
        message := format('no WAL is kept here for Postbox; for the standby %s ask there', wal.standby);
    elsif limit_mb >= 0 then
        state := case when used > 0.8 * limit_mb then 'crit' when used > 0.5 * limit_mb then 'warn' else 'ok' end;
        message := format('WAL kept for Postbox: %s of %s MB before the slot is lost', round(used), limit_mb);
    else
        state := case when used > usual_mb then 'warn' else 'ok' end;
        message := format('WAL kept for Postbox: %s MB; it may grow until the disk is full', round(used));
    end if;
    hint := case when state <> 'ok' then
        'Get the worker to store WAL again, or give the server room: see max_slot_wal_keep_size and wal_keep_limit.' end;
    return next;
end
$$;

comment on function backup._check_slot() is 'Checks: the slot is there and read from, and has room.';
