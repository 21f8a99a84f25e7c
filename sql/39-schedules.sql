create or replace function backup.schedule(
    -- of the schedule; one of the same name is replaced
    name text,
    -- minute, hour, day of the month, month, day of the week, such as '30 2 * * *'
    cron text,
    -- 'base' or 'dump'
    kind text,
    -- arguments of backup.start_base() or backup.start_dump() by name, such as {"checkpoint": "spread"}
    options jsonb default '{}',
    -- in which the times are meant, such as Europe/Berlin
    time_zone text default 'UTC'
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    table_name text;
    condition text;
begin
    perform backup._set_schedule(name, cron, kind, options, time_zone);
    -- As the caller, whose rights are all that its own SQL may have. What fails takes the schedule back.
    for table_name, condition in select w.key, w.value from jsonb_each_text(options #> '{options,where}') w loop
        perform backup._try_expression(table_name::regclass, condition, 'boolean');
    end loop;
    -- That a superuser wrote them only a superuser can put down.
    if (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        update backup._schedule s set by_superuser = true where s.name = schedule.name;
    end if;
end
$$;

comment on function backup.schedule(text, text, text, jsonb, text) is
    'Start a base backup or dump by time. All of it is checked at once; see backup.schedules for the next run.';

create or replace function backup._set_schedule(
    name text,
    cron text,
    kind text,
    options jsonb,
    time_zone text
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    problem text := backup._cron_problem(cron);
begin
    if name is null or name !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' then
        raise exception using
            errcode = 'PB001',
            message = format('%s cannot be the name of a schedule', coalesce(quote_literal(name), 'null')),
            hint = 'Use 1 to 63 letters, digits, dots, underscores and hyphens, beginning with a letter or digit.';
    elsif problem is not null then
        raise exception using
            errcode = 'PB001',
            message = format('%s is no cron line: %s', coalesce(quote_literal(cron), 'null'), problem),
            hint = 'Write minute, hour, day of the month, month and day of the week, such as ''30 2 * * *'' or '
                '''0 */6 * * mon-fri''.';
    elsif not backup._is_time_zone(time_zone) then
        raise exception using
            errcode = 'PB001',
            message = format('%s is no time zone', coalesce(quote_literal(time_zone), 'null')),
            hint = 'Use a name such as UTC or Europe/Berlin, as pg_timezone_names has it.';
    elsif kind is null or kind not in ('base', 'dump') then
        raise exception using
            errcode = 'PB001',
            message = format('%s is no kind of backup', coalesce(quote_literal(kind), 'null')),
            hint = 'Use ''base'' or ''dump''.';
    end if;
    perform backup._scheduled_target(kind, options);

    insert into backup._schedule as s (name, cron, time_zone, kind, options, by_superuser)
    values (_set_schedule.name, array_to_string(regexp_split_to_array(btrim(cron, e' \t'), '[ \t]+'), ' '),
        _set_schedule.time_zone, _set_schedule.kind::backup.job_kind, _set_schedule.options,
        false)
    on conflict on constraint schedule_pk do update
    set cron = excluded.cron, time_zone = excluded.time_zone, kind = excluded.kind, options = excluded.options,
        by_superuser = excluded.by_superuser, set_by = excluded.set_by, set_at = excluded.set_at;
    -- The times before no longer count, not even for a clock that went wrong.
    delete from backup._schedule_run r where r.name = _set_schedule.name;
    perform pg_notify('postbox', 'schedule');
end
$$;

comment on function backup._set_schedule(text, text, text, jsonb, text) is
    'Check a schedule and keep it; backup.schedule() tries its conditions.';

create or replace function backup._is_time_zone(
    name text
)
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    -- Of the names of files that Postgres lists some are no names of IANA.
    select name ~ '^[A-Z]' and name <> 'Factory' and exists (select from pg_timezone_names z where z.name = _is_time_zone.name)
$$;

comment on function backup._is_time_zone(text) is 'Whether server and worker know a time zone by this name.';

create or replace function backup._scheduled_target(
    kind text,
    options jsonb
)
    -- of a dump what it is to hold, of a base backup its options; PB001 when they cannot be used
    returns jsonb
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    known text[] := case kind when 'base' then array['label', 'checkpoint']
        else array['tables', 'schemas', 'label', 'options'] end;
    problem text;
begin
    problem := case when options is null or jsonb_typeof(options) <> 'object' then 'the options are no JSON object' else coalesce(
        (select format('%L is no option of a scheduled %s', k.name, case kind when 'base' then 'base backup' else kind end)
         from jsonb_object_keys(options) k (name) where k.name <> all (known) limit 1),
        (select format('%s must be text', k.name) from unnest(array['label', 'checkpoint']) k (name)
         where jsonb_typeof(options -> k.name) <> 'string' limit 1),
        (select format('%s must be a list of names', k.name) from unnest(array['tables', 'schemas']) k (name)
         where jsonb_typeof(options -> k.name) <> 'array' limit 1),
        (select format('%s is no name in %s', e.value, k.name)
         from unnest(array['tables', 'schemas']) k (name) cross join jsonb_array_elements(options -> k.name) e
         where jsonb_typeof(e.value) <> 'string' limit 1),
        (select format('there is no table %s', e.value)
         from jsonb_array_elements_text(options -> 'tables') e where backup._named_table(e.value) is null limit 1)) end;
    if problem is not null then
        raise exception using
            errcode = 'PB001', message = problem,
            hint = format('The options are the arguments of backup.start_%s(): %s; tables are named with their schemas.',
                kind, array_to_string(known, ', '));
    end if;
    if kind = 'base' then
        -- Only to be refused or not: nothing of it stays.
        perform backup._check_base(options ->> 'label', coalesce(options ->> 'checkpoint', 'fast'));
        return options;
    end if;
    return backup._checked_target(
        case when options ? 'tables' then array(
            select backup._named_table(e.value) from jsonb_array_elements_text(options -> 'tables') e) end,
        case when options ? 'schemas' then array(select jsonb_array_elements_text(options -> 'schemas')) end,
        options ->> 'label', coalesce(options -> 'options', '{}'));
end
$$;

comment on function backup._scheduled_target(text, jsonb) is 'What a schedule asks for, checked.';

create or replace function backup.unschedule(
    name text
)
    -- false when there was no such schedule
    returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    delete from backup._schedule s where s.name = unschedule.name;
    if found then
        perform pg_notify('postbox', 'schedule');
    end if;
    return found;
end
$$;

comment on function backup.unschedule(text) is 'Remove a schedule. What it has queued goes on.';
