create or replace function backup._report_facts(
    -- as backup._worker has them
    facts jsonb
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(facts) is distinct from 'object' then
        raise exception using
            errcode = 'PB001', message = 'facts are a JSON object', hint = 'Pass what was measured, by name.';
    end if;
    update backup._worker w set facts = _report_facts.facts where w.facts is distinct from _report_facts.facts;
end
$$;

comment on function backup._report_facts(jsonb) is
    'Keep what the worker sees and the server does not. Written only when it changes.';

create or replace function backup._wal_directory()
    -- null for a worker on another machine, which would look at a disk of its own
    returns text
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select case when inet_client_addr() is null or inet_client_addr() = inet_server_addr() then s.setting || '/pg_wal' end
    from pg_settings s where s.name = 'data_directory'
$$;

comment on function backup._wal_directory() is 'Where the WAL lies, for a worker that may see the same disk.';

create or replace function backup._webhook()
    -- no row: there is none
    returns table (url text, secret text, server text)
    language sql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    select u.value, (select s.value from backup._setting s where s.setting = 'webhook_secret'),
           backup._setting_value('server')
    from backup._setting u where u.setting = 'webhook_url'
$$;

comment on function backup._webhook() is 'Where changes of checks are posted, for the worker alone.';
