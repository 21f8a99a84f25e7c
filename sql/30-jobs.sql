create or replace function backup._check_base(
    label text,
    checkpoint text
)
    returns void
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if checkpoint is null or checkpoint not in ('fast', 'spread') then
        raise exception using
            errcode = 'PB001',
            message = format('%s is no kind of checkpoint', coalesce(quote_literal(checkpoint), 'null')),
            hint = 'Use ''fast'' or ''spread''.';
    end if;
    -- The label travels in a replication command and in file names' neighbourhood: keep it to one short line.
    if length(label) > 200 or label ~ '[[:cntrl:]]' then
        raise exception using
            errcode = 'PB001',
            message = 'the label is too long or holds control characters',
            hint = 'Use one line of at most 200 characters.';
    end if;
    if backup._setting_value('stream_wal') = 'off' then
        raise exception using
            errcode = 'PB001',
            message = 'a base backup needs WAL, and the setting stream_wal is off',
            hint = 'Take a dump, select backup.start_dump(), or set it on where the worker may replicate.';
    end if;
end
$$;

comment on function backup._check_base(text, text) is 'Check the arguments of a base backup: PB001 when they cannot be used.';

create or replace function backup._queue_base(
    label text,
    checkpoint text,
    -- the schedule that asks for it; null: somebody does
    schedule text
)
    -- id of the queued job
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    queued bigint;
begin
    perform backup._check_base(label, checkpoint);
    insert into backup._job (kind, target, schedule)
    values ('base', jsonb_build_object('label', nullif(label, ''), 'checkpoint', checkpoint), _queue_base.schedule)
    returning _job.job_id into queued;
    perform pg_notify('postbox', 'job');
    return queued;
end
$$;

comment on function backup._queue_base(text, text, text) is 'Check what a base backup is asked for with, and queue it.';

create or replace function backup.start_base(
    -- free text shown in backup.base_backups
    label text default null,
    -- 'fast' begins at once with an immediate checkpoint; 'spread' waits for one that is spread out
    checkpoint text default 'fast'
)
    -- id of the queued job; follow it in backup.jobs
    returns bigint
    language sql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select backup._queue_base(label, checkpoint, null)
$$;

comment on function backup.start_base(text, text) is 'Queue a base backup and return its job id.';

create or replace function backup.cancel(
    job_id bigint
)
    -- false when the job had ended before
    returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    found_state backup.job_state;
begin
    select j.state into found_state from backup._job j where j.job_id = cancel.job_id for update;
    if not found then
        raise exception using
            errcode = 'PB002',
            message = format('there is no job %s', coalesce(cancel.job_id::text, 'null')),
            hint = 'See backup.jobs.';
    end if;
    if found_state not in ('queued', 'running') then
        return false;
    end if;

    -- Nobody works on it: it ends here. If a worker comes back to it, what it reports is refused.
    if found_state = 'queued' or not backup._worker_alive() then
        update backup._job j
        set state = 'canceled', error = backup._canceled_error(j.job_id), ended_at = now()
        where j.job_id = cancel.job_id;
    else
        update backup._job j
        set cancel_requested_at = now()
        where j.job_id = cancel.job_id and j.cancel_requested_at is null;
    end if;
    perform pg_notify('postbox', 'cancel');
    return true;
end
$$;

comment on function backup.cancel(bigint) is
    'Cancel a job. A queued one ends at once, a running one as soon as the worker hears of it.';
