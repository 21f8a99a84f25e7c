create or replace function backup._is_listed(
    application_name text
)
    -- whether synchronous_standby_names has it, by its name or with all others
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
return current_setting('synchronous_standby_names')
    ~ ('(^|[^[:alnum:]_])(' || application_name || '|\*)($|[^[:alnum:]_])');

comment on function backup._is_listed(text) is 'Whether COMMITs may wait for a standby of that name.';

create or replace function backup._commit_locally()
    -- While commits wait for the box, what lets it take something again must not wait for it: neither the worker nor
    -- anybody else sees a transaction whose COMMIT has not returned.
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    if backup._is_listed('postbox') and current_setting('synchronous_commit') <> 'off' then
        perform set_config('synchronous_commit', 'local', true);
    end if;
end
$$;

comment on function backup._commit_locally() is 'Have this transaction not wait for a COMMIT to be in S3.';

create or replace function backup.configure(
    -- one of backup.settings
    setting text,
    -- null returns to the default
    value text
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    kept text;
    fresh text;
begin
    if not exists (select from backup._setting_list() l where l.setting = configure.setting) then
        raise exception using
            errcode = 'PB001',
            message = format('there is no setting %s', coalesce(quote_literal(configure.setting), 'null')),
            hint = format('Settings are: %s.', (select string_agg(l.setting, ', ') from backup._setting_list() l));
    end if;

    if configure.value is not null then
        fresh := backup._check_setting(configure.setting, configure.value);
    end if;

    -- Nothing is written and nobody woken when nothing changes.
    select s.value into kept from backup._setting s where s.setting = configure.setting;
    if kept is not distinct from fresh then
        return;
    end if;
    if fresh is null then
        delete from backup._setting s where s.setting = configure.setting;
    else
        insert into backup._setting as s (setting, value) values (configure.setting, fresh)
        on conflict on constraint setting_pk do update set value = excluded.value, set_at = now();
    end if;
    perform pg_notify('postbox', 'setting');
    perform backup._commit_locally();
end
$$;

comment on function backup.configure(text, text) is
    'Change a setting; null returns to its default. backup.settings lists them with their meaning.';

create or replace view backup.settings as
select l.setting, backup._setting_value(l.setting) as value, l.default_value, l.unit, l.meaning
from backup._setting_list() l;

comment on view backup.settings is 'Every setting: its value, default and meaning. Change one with backup.configure().';
comment on column backup.settings.setting is 'Name, as backup.configure() takes it.';
comment on column backup.settings.value is 'The value in force.';
comment on column backup.settings.default_value is 'The value in force when nothing was configured.';
comment on column backup.settings.unit is 'What the value counts.';
comment on column backup.settings.meaning is 'What the setting does.';
