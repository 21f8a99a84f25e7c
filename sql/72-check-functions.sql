-- One function per group of checks. state: ok, warn or crit.
create or replace function backup._check_worker()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
declare
    holder record;
    report record;
    problem jsonb;
begin
    name := 'worker';
    select s.* into holder from backup._worker_session() s;
    select r.* into report from backup._worker_report() r;
    problem := coalesce(report.problems -> 'wal', report.problems -> 'archive', report.problems -> 'database');
    if pg_is_in_recovery() then
        state := 'warn';
        message := 'this is a standby: whether a worker runs is seen on the primary';
        hint := 'Ask there: select * from backup.checks.';
    elsif holder.pid is null then
        state := 'crit';
        message := 'no worker runs';
        hint := 'Start "postbox worker" beside this database, or see why it ended in its log.';
    elsif not holder.is_worker then
        state := 'crit';
        message := format('%s holds the worker lock and is no member of backup_worker',
            coalesce(quote_ident(holder.role_name), 'somebody'));
        hint := format('End that session: select pg_terminate_backend(%s).', holder.pid);
    elsif problem is not null then
        state := 'crit';
        message := problem ->> 'message';
        hint := problem ->> 'hint';
    else
        state := 'ok';
        message := format('version %s runs since %s', report.version, report.started_at);
    end if;
    return next;
end
$$;

comment on function backup._check_worker() is 'Check: a worker runs, and nothing keeps it from storing WAL.';

create or replace function backup._check_grants()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 4
    set search_path = pg_catalog, pg_temp
as $$
declare
    used record;
    problems jsonb := (select r.problems from backup._worker_report() r);
    renew text := format(
        'Run "postbox grant --server %s" where the S3 keys are, then select backup.install_grant(...).',
        coalesce(backup._setting_value('server'), 'NAME'));
    component text;
begin
    name := 'grant';
    select g.expires_at, (g.content ->> 'max_part_bytes')::bigint as max_part_bytes into used
    from backup._grant g where g.grant_id = backup._grant_in_use();
    if not found then
        state := 'crit';
        message := coalesce('the last grant ended at ' || (select max(g.expires_at) from backup._grant g
            where g.server = backup._setting_value('server')), 'no grant is installed');
        hint := renew;
    elsif used.expires_at < clock_timestamp() + backup._setting_value('grant_warn_before')::interval then
        state := 'warn';
        message := format('the last grant ends at %s', used.expires_at);
        hint := renew;
    elsif used.max_part_bytes < backup._setting_value('part_bytes')::bigint then
        state := 'warn';
        message := format('the grant allows parts of %s bytes and part_bytes is %s',
            used.max_part_bytes, backup._setting_value('part_bytes'));
        hint := 'Lower the setting part_bytes, or make a grant with --max-part-bytes.';
    else
        state := 'ok';
        message := format('good until %s', used.expires_at);
        hint := null;
    end if;
    return next;

    -- While the grant lasts nothing is lost by an issuer that is away.
    foreach component in array array['box', 'issuer', 'webhook'] loop
        name := component;
        state := case when problems -> component is null then 'ok' when component = 'box' then 'crit' else 'warn' end;
        message := coalesce(problems -> component ->> 'message', 'no trouble was reported');
        hint := problems -> component ->> 'hint';
        return next;
    end loop;
end
$$;

comment on function backup._check_grants() is
    'Checks: a grant lasts, the box takes what is posted, issuer and webhook answer.';

create or replace function backup._check_backups()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 2
    set search_path = pg_catalog, pg_temp
as $$
declare
    last_base timestamptz := (select max(b.stopped_at) from backup._own_bases() b);
    max_age interval := backup._setting_value('base_max_age')::interval;
    job backup._job;
    failed record;
begin
    name := 'base_age';
    if backup._setting_value('stream_wal') = 'off' then
        -- Dumps are all there is: of each database that has any, the newest must be young enough.
        last_base := (
            select min(d.newest) from (
                select max(b.snapshot_at) as newest from backup._dump b where b.whole and not b.masked group by b.database_name
            ) d);
    end if;
    state := case
        when last_base > now() - max_age then 'ok'
        when last_base > now() - 2 * max_age then 'warn'
        else 'crit' end;
    if backup._setting_value('stream_wal') = 'off' then
        message := coalesce('the newest whole dump shows the database as of ' || last_base, 'there is no whole dump');
        hint := case when state <> 'ok' then 'Start one: select backup.start_dump().' end;
    else
        message := coalesce('the newest base backup ended at ' || last_base, 'there is no base backup');
        hint := case when state <> 'ok' then 'Start one: select backup.start_base().' end;
    end if;
    return next;

    name := 'last_job';
    -- A base backup that is done says nothing of a dump that failed, nor one schedule of another.
    select count(*) as failures, max(f.job_id) as job_id,
           string_agg(format('job %s%s failed%s: %s', f.job_id, ' of the schedule ' || f.schedule,
               case when f.times > 1 then format(', as %s before it', f.times - 1) end, f.error ->> 'message'),
               '; ' order by f.job_id desc) as message,
           (array_agg(f.error ->> 'hint' order by f.job_id desc))[1] as hint
    into failed
    from (
        select distinct on (j.kind, j.schedule) j.job_id, j.schedule, j.error,
               count(*) over (partition by j.kind, j.schedule) as times
        from (
            select k.kind, null::text as schedule,
                   (select d.job_id from backup._job d where d.state = 'done' and d.kind = k.kind
                    order by d.job_id desc limit 1) as done_id
            from unnest(enum_range(null::backup.job_kind)) k (kind)
            union all
            select c.kind, c.name,
                   (select d.job_id from backup._job d where d.state = 'done' and d.schedule = c.name
                    order by d.job_id desc limit 1)
            from backup._schedule c
        ) g
        join backup._job j on j.state = 'failed' and j.kind = g.kind and j.schedule is not distinct from g.schedule
            and j.job_id > coalesce(g.done_id, 0)
        order by j.kind, j.schedule, j.job_id desc
    ) f;
    state := case when failed.failures > 0 then 'crit' else 'ok' end;
    if failed.failures > 0 then
        message := failed.message;
        hint := failed.hint;
    else
        select j.* into job from backup._job j where j.state = 'done' order by j.job_id desc limit 1;
        message := case when job.job_id is null then 'no job has ended yet'
            else format('job %s was done at %s', job.job_id, job.ended_at) end;
        hint := null;
    end if;
    return next;
end
$$;

comment on function backup._check_backups() is
    'Checks: the newest base backup is young enough, and of each kind and schedule the last job was done.';

create or replace function backup._check_drills()
    returns table (name text, state text, message text, hint text)
    language plpgsql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
declare
    -- What was proved of the cluster before an upgrade says nothing of this one.
    system bigint := (select c.system_identifier from pg_control_system() c);
    last_drill backup._drill;
    proved timestamptz := (
        select max(d.finished_at) from backup._drill d where d.ok and d.system_identifier = system);
    first_base timestamptz := (select min(b.stopped_at) from backup._base_backup b where b.system_identifier = system);
    max_age interval := backup._setting_value('drill_max_age')::interval;
    again text := 'Where the S3 keys are, run "postbox drill"; the issuer passes its result on within the hour.';
begin
    name := 'drill_age';
    select d.* into last_drill from backup._drill d
    where d.system_identifier = system
    order by d.finished_at desc limit 1;
    if last_drill.ok is false then
        state := 'crit';
        message := format('the drill of %s failed with backup %s: %s', last_drill.finished_at, last_drill.backup_id,
            coalesce(last_drill.problem, 'a check was not good'));
        hint := 'See backup.drills, and take a base backup if this one is bad.';
    elsif coalesce(proved, first_base) < now() - max_age then
        state := 'warn';
        message := coalesce('the last restore was proved at ' || proved, 'no restore was ever proved');
        hint := again;
    else
        state := 'ok';
        message := coalesce('a restore was proved at ' || proved, 'no restore was proved yet');
    end if;
    return next;
end
$$;

comment on function backup._check_drills() is 'Check: a restore was proved not too long ago, and the last drill was good.';
