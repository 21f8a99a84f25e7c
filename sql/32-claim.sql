create or replace function backup._claim_job()
    -- the oldest queued job, now running; no row when there is none
    returns table (job_id bigint, kind text, target jsonb, attempt integer)
    language sql
    volatile
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    update backup._job j
    set state = 'running', attempts = j.attempts + 1, started_at = now(),
        phase = null, bytes_done = 0, bytes_total = null, tables = null, cancel_requested_at = null
    where j.job_id = (
        select q.job_id from backup._job q where q.state = 'queued' order by q.job_id limit 1 for update skip locked
    )
    returning j.job_id, j.kind::text, j.target, j.attempts
$$;

comment on function backup._claim_job() is 'Take the oldest queued job. Two sessions never get the same one.';

create or replace function backup._report_progress(
    job_id bigint,
    -- what is being done, in a word or two
    phase text,
    bytes_done bigint,
    -- null while unknown
    bytes_total bigint,
    -- of a dump that has begun to copy, as backup._job has it
    tables jsonb default null
)
    returns void
    language sql
    volatile
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    update backup._job j
    set phase = _report_progress.phase, bytes_done = _report_progress.bytes_done,
        bytes_total = _report_progress.bytes_total, tables = _report_progress.tables
    where j.job_id = _report_progress.job_id
      and j.state = 'running'
      and (j.phase, j.bytes_done, j.bytes_total, j.tables)
          is distinct from (_report_progress.phase, _report_progress.bytes_done, _report_progress.bytes_total,
                            _report_progress.tables)
$$;

comment on function backup._report_progress(bigint, text, bigint, bigint, jsonb) is
    'Show how far a running job is. Nothing is written when nothing changed or the job no longer runs.';

create or replace function backup._is_cancel_requested(
    job_id bigint
)
    -- true also for a job that no longer runs: whoever works on it must stop
    returns boolean
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select not exists (
    select from backup._job j
    where j.job_id = _is_cancel_requested.job_id and j.state = 'running' and j.cancel_requested_at is null
)
$$;

comment on function backup._is_cancel_requested(bigint) is 'Whether the worker should stop this job.';

create or replace function backup._lock_running(
    job_id bigint
)
    -- the job's row, locked until the transaction ends
    returns backup._job
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    job backup._job;
begin
    select j.* into job from backup._job j where j.job_id = _lock_running.job_id for update;
    if not found then
        raise exception using
            errcode = 'PB002', message = format('there is no job %s', coalesce(_lock_running.job_id::text, 'null')),
            hint = 'See backup.jobs.';
    elsif job.state = 'canceled' then
        raise exception using
            errcode = 'PB011', message = job.error ->> 'message', hint = job.error ->> 'hint';
    elsif job.state <> 'running' then
        raise exception using
            errcode = 'PB014', message = format('job %s is %s, not running', job.job_id, job.state),
            hint = 'Another worker may have taken it over: see backup.jobs.';
    end if;
    return job;
end
$$;

comment on function backup._lock_running(bigint) is
    'Lock a job that must be running: PB011 if it was canceled, PB014 if it ended.';

create or replace function backup._fail_job(
    job_id bigint,
    -- {code, message, hint}
    error jsonb,
    -- whether trying again may help
    retry boolean
)
    -- the job's state now: queued when it is tried again, failed, or canceled if that was asked meanwhile
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    job backup._job;
    fresh backup.job_state;
begin
    perform backup._check_error(error);
    job := backup._lock_running(_fail_job.job_id);
    fresh := case
        when job.cancel_requested_at is not null then 'canceled'
        when retry and job.attempts < backup._setting_value('job_max_attempts')::integer then 'queued'
        else 'failed'
    end;
    update backup._job j
    set state = fresh, error = _fail_job.error, ended_at = case when fresh <> 'queued' then now() end
    where j.job_id = _fail_job.job_id;
    if fresh = 'queued' then
        perform pg_notify('postbox', 'job');
    end if;
    return fresh;
end
$$;

comment on function backup._fail_job(bigint, jsonb, boolean) is 'End a running job by an error, or queue it again.';

create or replace function backup._end_canceled(
    job_id bigint
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    -- Canceled without the worker, while it was believed dead: nothing is left to do.
    if exists (select from backup._job j where j.job_id = _end_canceled.job_id and j.state = 'canceled') then
        return;
    end if;
    perform backup._lock_running(_end_canceled.job_id);
    update backup._job j
    set state = 'canceled', error = backup._canceled_error(j.job_id), ended_at = now()
    where j.job_id = _end_canceled.job_id;
end
$$;

comment on function backup._end_canceled(bigint) is 'The worker stopped a job because it was asked to.';
