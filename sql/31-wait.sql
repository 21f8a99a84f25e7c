create or replace procedure backup.wait(
    job_id bigint,
    -- null waits for as long as it takes
    timeout interval default null
)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    job backup._job;
    queued_here boolean;
    waits_until timestamptz := clock_timestamp() + timeout;
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception using
            errcode = 'PB013',
            message = format('a %s transaction cannot see a job end', current_setting('transaction_isolation')),
            hint = 'Call backup.wait() outside of it, or in a read committed transaction.';
    end if;

    loop
        select j.* into job from backup._job j where j.job_id = wait.job_id;
        if not found then
            raise exception using
                errcode = 'PB002',
                message = format('there is no job %s', coalesce(wait.job_id::text, 'null')),
                hint = 'See backup.jobs.';
        end if;
        exit when job.state not in ('queued', 'running');

        select j.xmin = pg_current_xact_id_if_assigned()::xid into queued_here
        from backup._job j where j.job_id = wait.job_id;
        if job.state = 'queued' and queued_here then
            raise exception using
                errcode = 'PB013',
                message = format('job %s was queued in this transaction and starts after its commit', job.job_id),
                hint = 'Commit first, then call backup.wait().';
        end if;
        if clock_timestamp() >= waits_until then
            raise exception using
                errcode = 'PB012',
                message = format('job %s is still %s after %s', job.job_id, job.state, timeout),
                hint = 'The job goes on: follow it in backup.jobs, or end it with backup.cancel().';
        end if;
        perform pg_sleep(least(0.2, extract(epoch from waits_until - clock_timestamp())));
    end loop;

    if job.state <> 'done' then
        raise exception using
            errcode = case job.state when 'canceled' then 'PB011' else 'PB010' end,
            message = case job.state
                when 'canceled' then job.error ->> 'message'
                else format('job %s failed: %s', job.job_id, job.error ->> 'message') end,
            detail = 'code: ' || (job.error ->> 'code'),
            hint = job.error ->> 'hint';
    end if;
end
$$;

comment on procedure backup.wait(bigint, interval) is
    'Return when the job is done; raise its error when it failed or was canceled. '
    'The calling transaction stays open meanwhile: look into backup.jobs instead when a job takes hours.';
