create or replace function backup._planned_schedules()
    -- after_at: the next run comes later. now_at: by this server's clock, which decides what is due.
    returns table (name text, cron text, time_zone text, next_run_at timestamptz, after_at timestamptz, now_at timestamptz)
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select s.name, s.cron, s.time_zone, r.next_run_at, greatest(s.set_at, r.last_run_at, r.last_skipped_at), clock_timestamp()
    from backup._schedule s
    left join backup._schedule_run r on r.name = s.name
$$;

comment on function backup._planned_schedules() is 'Every schedule, for the worker to compute its next run.';

create or replace function backup._plan_schedule(
    name text,
    -- what was computed with, so that nothing is planned for a schedule that was changed meanwhile
    cron text,
    time_zone text,
    -- null when it could not be computed
    next_run_at timestamptz,
    -- {code, message, hint}: why not
    problem jsonb
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if problem is not null then
        perform backup._check_error(problem);
    end if;
    insert into backup._schedule_run as r (name, next_run_at, problem)
    select s.name, _plan_schedule.next_run_at, _plan_schedule.problem
    from backup._schedule s
    where s.name = _plan_schedule.name and s.cron = _plan_schedule.cron and s.time_zone = _plan_schedule.time_zone
    on conflict on constraint schedule_run_pk do update
    set next_run_at = excluded.next_run_at, problem = excluded.problem
    -- Never over a run that is planned, and not again and again.
    where r.next_run_at is null
      and (excluded.next_run_at, excluded.problem) is distinct from (r.next_run_at, r.problem);
end
$$;

comment on function backup._plan_schedule(text, text, text, timestamptz, jsonb) is
    'Keep when a schedule is due next, or why that is not known.';

create or replace function backup._run_schedule(
    name text,
    -- as it was planned
    due_at timestamptz,
    -- the run after this one and after now
    following_at timestamptz
)
    -- queued; skipped: its last job has not ended; refused: its options cannot be used any more, see the job that failed.
    -- Null: it is not due, or not then, as when another session was here first.
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    due backup._schedule;
    queued bigint;
    outcome text := 'queued';
    target jsonb;
    message text;
    hint text;
begin
    -- The row is locked from here on: whoever comes second finds another next_run_at.
    update backup._schedule_run r set next_run_at = following_at
    where r.name = _run_schedule.name and r.next_run_at = due_at
      and due_at <= clock_timestamp() and following_at > greatest(due_at, clock_timestamp());
    if not found then
        return null;
    end if;
    select s.* into due from backup._schedule s where s.name = _run_schedule.name;

    if exists (select from backup._job j where j.schedule = due.name and j.state in ('queued', 'running')) then
        update backup._schedule_run r set last_skipped_at = due_at, skipped = r.skipped + 1 where r.name = due.name;
        return 'skipped';
    end if;
    begin
        target := backup._scheduled_target(due.kind::text, due.options);
        if due.kind = 'base' then
            queued := backup._queue_base(target ->> 'label', coalesce(target ->> 'checkpoint', 'fast'), due.name);
        else
            insert into backup._job (kind, target, schedule)
            -- Whoever runs this has not written its conditions.
            values ('dump', target || jsonb_build_object('by_superuser', due.by_superuser), due.name)
            returning _job.job_id into queued;
            perform pg_notify('postbox', 'job');
        end if;
    exception
        -- It would fail for ever, and nobody see it.
        when others then
            get stacked diagnostics message = message_text, hint = pg_exception_hint;
            outcome := 'refused';
    end;
    if outcome = 'refused' then
        insert into backup._job (kind, state, target, error, ended_at, schedule)
        values (due.kind, 'failed', jsonb_build_object('label', due.options ->> 'label'), jsonb_build_object(
            'code', 'bad_argument', 'message', format('the schedule %s cannot be run: %s', due.name, message),
            'hint', coalesce(nullif(hint, ''), 'Set it again: select backup.schedule(...).')), now(), due.name)
        returning _job.job_id into queued;
    end if;
    update backup._schedule_run r set last_run_at = due_at, last_job_id = queued, problem = null where r.name = due.name;
    return outcome;
end
$$;

comment on function backup._run_schedule(text, timestamptz, timestamptz) is
    'Queue a job for a schedule that is due, once for all who ask.';

create or replace view backup.schedules as
select s.name, s.kind::text as kind, s.cron, s.time_zone, s.options, r.next_run_at, r.last_run_at, r.last_job_id,
       case when j.state = 'running' and not (select backup._worker_alive()) then 'interrupted' else j.state::text end
           as last_state,
       r.last_skipped_at, coalesce(r.skipped, 0) as skipped,
       r.problem ->> 'message' as error_message, r.problem ->> 'hint' as error_hint, s.set_by, s.set_at
from backup._schedule s
left join backup._schedule_run r on r.name = s.name
left join backup._job j on j.job_id = r.last_job_id;

comment on view backup.schedules is 'What is started by time, and when: see backup.schedule() and backup.unschedule().';
comment on column backup.schedules.name is 'Name of the schedule.';
comment on column backup.schedules.kind is 'base: a base backup; dump: a logical dump.';
comment on column backup.schedules.cron is 'Minute, hour, day of the month, month, day of the week.';
comment on column backup.schedules.time_zone is 'In which those are meant.';
comment on column backup.schedules.options is 'Arguments of backup.start_base() or backup.start_dump(), by name.';
comment on column backup.schedules.next_run_at is
    'When it is due; past while no worker runs, null until one has computed it.';
comment on column backup.schedules.last_run_at is 'The due time for which a job was queued last; null: never.';
comment on column backup.schedules.last_job_id is 'That job: see backup.jobs.';
comment on column backup.schedules.last_state is 'State of that job.';
comment on column backup.schedules.last_skipped_at is
    'The last due time at which nothing was queued, because the job before had not ended.';
comment on column backup.schedules.skipped is 'How often that happened since the schedule was set.';
comment on column backup.schedules.error_message is 'Why the next run is not known; null: it is.';
comment on column backup.schedules.error_hint is 'What to do about it.';
comment on column backup.schedules.set_by is 'Who has set it.';
comment on column backup.schedules.set_at is 'When.';
