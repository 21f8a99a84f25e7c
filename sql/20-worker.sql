create or replace function backup._worker_lock_key()
    -- 'postbox' in ASCII
    returns bigint
    language sql
    immutable parallel safe
    set search_path = pg_catalog, pg_temp
return x'00706f7374626f78'::bigint;

comment on function backup._worker_lock_key() is
    'Key of the session advisory lock that the one live worker of this database holds.';

create or replace function backup._worker_session()
    -- no row: nobody holds the lock. is_worker is false for a holder who is no member of backup_worker.
    returns table (pid integer, role_name name, is_worker boolean)
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select l.pid, a.usename, coalesce(pg_has_role(a.usesysid, 'backup_worker', 'member'), false)
    from pg_locks l
    left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory'
      and l.granted
      and l.database = (select d.oid from pg_database d where d.datname = current_database())
      -- A bigint key is shown as its two halves and objsubid 1.
      and l.classid::bigint = backup._worker_lock_key() >> 32
      and l.objid::bigint = backup._worker_lock_key() & x'ffffffff'::bigint
      and l.objsubid = 1
$$;

comment on function backup._worker_session() is 'The session that holds the worker lock.';

create or replace function backup._worker_alive()
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select exists (select from backup._worker_session() w where w.is_worker)
$$;

comment on function backup._worker_alive() is 'Whether a worker holds the worker lock now.';

create or replace function backup._start_worker(
    -- of Postbox
    version text
)
    -- how many jobs of a dead worker went back to the queue
    returns integer
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    requeued integer;
    risk record;
begin
    if nullif(version, '') is null then
        raise exception using 
            errcode = 'PB001', message = 'a worker needs a version', hint = 'Pass the version of Postbox.';
    end if;

    update backup._job j
    set state = 'canceled', error = backup._canceled_error(j.job_id), ended_at = now()
    where j.state = 'running' and j.cancel_requested_at is not null;

    update backup._job j
    set state = 'failed', ended_at = now(), error = jsonb_build_object(
        'code', 'worker_lost',
        'message', format('the worker of job %s was lost in attempt %s', j.job_id, j.attempts),
        'hint', 'See the worker''s log, then start the backup again.')
    where j.state = 'running' and j.attempts >= backup._setting_value('job_max_attempts')::integer;

    update backup._job j
    set state = 'queued', phase = null, bytes_done = 0, bytes_total = null
    where j.state = 'running';
    get diagnostics requeued = row_count;

    select r.durable_lsn, r.since into risk from backup._at_risk() r;
    -- What waits gets no younger by a new worker, which has not seen it come.
    insert into backup._worker as w (version, started_at, at_risk_from, at_risk_since, life)
    values (_start_worker.version, now(), case when risk.since is not null then risk.durable_lsn end, risk.since,
            backup._life())
    on conflict on constraint worker_pk do update
    set version = excluded.version, started_at = excluded.started_at, problems = '{}', facts = '{}',
        at_risk_from = excluded.at_risk_from, at_risk_since = excluded.at_risk_since;
    return requeued;
end
$$;

comment on function backup._start_worker(text) is
    'Take over: requeue what a dead worker left running. Call it once the worker lock is held, after backup._enter_life().';

create or replace function backup._report_source(
    -- address of the standby that WAL is read from; null: it is read here
    standby text
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if standby = '' or standby ~ '[[:cntrl:]]' or length(standby) > 300 then
        raise exception using
            errcode = 'PB001', message = 'that is no address of a standby', hint = 'Pass host:port, or null.';
    end if;
    update backup._worker w set standby = _report_source.standby
    where w.standby is distinct from _report_source.standby;
end
$$;

comment on function backup._report_source(text) is
    'Keep where the worker reads WAL from. Written only when it changes.';

create or replace function backup._report_slot_made(
    -- where it stands
    lsn pg_lsn
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if lsn is null then
        raise exception using
            errcode = 'PB001', message = 'a slot that was made has an LSN', hint = 'Pass its restart_lsn.';
    end if;
    update backup._worker w set slot_made_at = lsn where w.slot_made_at is distinct from lsn;
end
$$;

comment on function backup._report_slot_made(pg_lsn) is 'Keep where a replication slot stood when the worker made it.';

create or replace function backup._slot_made_at()
    -- null: no worker has made any
    returns pg_lsn
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select w.slot_made_at from backup._worker w
$$;

comment on function backup._slot_made_at() is 'Where the replication slot stood when a worker last made it.';

create or replace function backup._report_problem(
    -- box, issuer, wal, archive, database or webhook
    component text,
    -- {code, message, hint}; null when it works again
    problem jsonb
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    known jsonb;
begin
    if component is null or component not in ('box', 'issuer', 'wal', 'archive', 'database', 'webhook') then
        raise exception using
            errcode = 'PB001',
            message = format('no part of the worker is called %s', coalesce(quote_literal(component), 'null')),
            hint = 'Use box, issuer, wal, archive, database or webhook.';
    end if;
    if problem is not null then
        perform backup._check_error(problem);
    end if;

    select w.problems -> component into known from backup._worker w;
    if not found or (known is null and problem is null) then
        return;
    end if;
    if problem is null then
        update backup._worker w set problems = w.problems - component;
        return;
    end if;

    -- A message may differ at every retry, and each row written is WAL: one a minute is enough.
    if known ->> 'code' = problem ->> 'code'
       and (known @> problem or (known ->> 'reported_at')::timestamptz > now() - interval '1 minute') then
        return;
    end if;
    update backup._worker w
    set problems = w.problems || jsonb_build_object(component, jsonb_build_object(
        'code', problem ->> 'code', 'message', problem ->> 'message', 'hint', problem ->> 'hint',
        'since', coalesce(known ->> 'since', to_json(now()) #>> '{}'), 'reported_at', now()));
end
$$;

comment on function backup._report_problem(text, jsonb) is
    'Keep what troubles a part of the worker, or clear it. Written only when it changes.';
