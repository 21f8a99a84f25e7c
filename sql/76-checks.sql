create or replace view backup.checks as
select c.name, c.state, c.message, c.hint, s.since
from (
    select f.name, f.state, f.message, f.hint from backup._check_worker() f
    union all
    select f.name, f.state, f.message, f.hint from backup._check_grants() f
    union all
    select f.name, f.state, f.message, f.hint from backup._check_wal_delay() f
    where backup._setting_value('stream_wal') = 'on'
    union all
    select f.name, f.state, f.message, f.hint from backup._check_wal_backlog() f
    where backup._setting_value('stream_wal') = 'on'
    union all
    select f.name, f.state, f.message, f.hint from backup._check_dumps_alone() f
    where backup._setting_value('stream_wal') = 'off'
    union all
    select f.name, f.state, f.message, f.hint from backup._check_backups() f
    union all
    select f.name, f.state, f.message, f.hint from backup._check_schedules() f
    union all
    select f.name, f.state, f.message, f.hint from backup._check_drills() f
    union all
    select f.name, f.state, f.message, f.hint from backup._check_slot() f
    where backup._setting_value('stream_wal') = 'on'
    union all
    select f.name, f.state, f.message, f.hint from backup._check_machine() f
) c
left join backup._check_state s on s.name = c.name and s.state = c.state;

comment on view backup.checks is 'One row per check. Alert on every state but ok.';
comment on column backup.checks.name is 'What is checked; stable.';
comment on column backup.checks.state is 'ok, warn or crit.';
comment on column backup.checks.message is 'What was found.';
comment on column backup.checks.hint is 'What to do about it; null when all is well.';
comment on column backup.checks.since is
    'Since when it is in this state, as the worker saw it; null while none has.';

create or replace function backup._note_checks()
    -- was: the state before, where it has changed since the last call. changed: whether anybody should hear of it.
    returns table (name text, state text, message text, hint text, since timestamptz, was text, changed boolean)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    for name, state, message, hint, since in select c.name, c.state, c.message, c.hint, c.since from backup.checks c loop
        was := null;
        changed := false;
        if since is null then
            select s.state into was from backup._check_state s where s.name = _note_checks.name for update;
            -- That all is well at the very first look is no news.
            changed := was is not null or state <> 'ok';
            insert into backup._check_state as s (name, state, message)
            values (_note_checks.name, _note_checks.state, _note_checks.message)
            on conflict on constraint check_state_pk do update
            set state = excluded.state, message = excluded.message, since = excluded.since
            returning s.since into since;
            if changed then
                perform pg_notify('postbox_checks', jsonb_build_object(
                    'name', name, 'from', was, 'to', state, 'message', left(message, 1000), 'hint', left(hint, 1000),
                    'at', since)::text);
            end if;
        end if;
        return next;
    end loop;
end
$$;

comment on function backup._note_checks() is
    'Look at every check; what has changed is kept and notified. Nothing is written while nothing changes.';
