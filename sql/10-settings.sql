-- The one list of settings; backup._check_setting() holds the rule of each.
create or replace function backup._setting_list()
    returns table (setting text, default_value text, unit text, meaning text)
    language sql
    immutable parallel safe
    set search_path = pg_catalog, pg_temp
as $$
    values
        ('server', null, 'name', 'Name of this server: the first folder of all its keys. Taken from the first grant.'),
        ('slot', 'postbox', 'name', 'Replication slot that keeps WAL until it is stored.'),
        ('stream_wal', 'on', 'on or off',
            'Whether WAL is stored. Off where only dumps are wanted, as where there is no right to replicate.'),
        ('compression_level', '1', 'zstd level', 'How hard to compress, 1 to 19.'),
        ('part_bytes', '16777216', 'bytes', 'Size of a stored part, 1MB to 1GB.'),
        ('upload_connections', '4', 'connections', 'How many parts are posted at once, 1 to 32.'),
        ('upload_rate_limit', '0', 'bytes per second',
            'Ceiling for uploads of a backup; 0 is none. WAL never waits for it.'),
        ('wal_interval', '00:00:01', 'interval',
            'Least time between two posts of the unfinished segment; longer while little is written.'),
        ('wal_keep_limit', '0', 'bytes',
            'WAL that the slot may keep, from 1MB, while the box takes nothing: with more the worker gives the slot up, '
            'which leaves a gap. 0 is no limit: WAL is kept until the disk is full.'),
        ('base_after_gap', 'on', 'on or off', 'Whether a base backup is started by itself when WAL was lost.'),
        ('dump_jobs', '0', 'connections', 'How many connections a dump copies by, up to 64; 0 is one for each core.'),
        ('dump_split_bytes', '1073741824', 'bytes',
            'A larger table is dumped in ranges of this size, by several connections at once.'),
        ('dump_max_duration', '12:00:00', 'interval',
            'A dump that takes longer is ended, because its snapshot holds back vacuum.'),
        ('job_max_attempts', '3', 'attempts', 'How often a job is begun before it counts as failed, 1 to 100.'),
        ('base_max_age', '8 days', 'interval', 'backup.checks warns when the newest base backup is older.'),
        ('drill_max_age', '31 days', 'interval', 'backup.checks warns when no restore was proved for longer.'),
        ('wal_max_delay', '00:05:00', 'interval',
            'backup.checks is critical when WAL stays unsafe for longer, and warns from half of it.'),
        ('wal_max_at_risk', '1073741824', 'bytes',
            'backup.checks is critical when more WAL than this is not stored yet, and warns from half of it.'),
        ('grant_warn_before', '03:00:00', 'interval', 'backup.checks warns when the last grant ends sooner than this.'),
        ('clock_max_skew', '00:01:00', 'interval',
            'backup.checks warns when the clocks of worker, server and box differ by more; S3 refuses 15 minutes.'),
        ('disk_min_free', '10', 'percent',
            'backup.checks warns when less of the disk with the WAL is free, where the worker sees it; critical is half of it.'),
        ('webhook_url', null, 'URL', 'Where the worker posts each change of a check, as JSON. Shown without its path.'),
        ('webhook_secret', null, 'token', 'Sent there as a bearer token. Never shown.')
$$;

comment on function backup._setting_list() is 'Every setting with its default, unit and meaning.';

create or replace function backup._setting_value(
    setting text
)
    -- as kept, or the default; null only for an unset server
    returns text
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select case
        -- A webhook's address is often its password.
        when s.setting = 'webhook_url' then regexp_replace(s.value, '^(https?://[^/?#]*).*$', '\1/***')
        when s.setting = 'webhook_secret' then '***'
        else coalesce(s.value, l.default_value) end
    from backup._setting_list() l
    left join backup._setting s on s.setting = l.setting
    where l.setting = _setting_value.setting
$$;

comment on function backup._setting_value(text) is 'The value of one setting that is in force.';

create or replace function backup._check_number(
    setting text,
    -- digits, or a size such as 10MB where a unit is allowed
    value text,
    lowest bigint,
    highest bigint,
    sized boolean
)
    returns text
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    number numeric;
begin
    if value ~ '^\s*[0-9]{1,18}\s*$' then
        number := value::numeric;
    elsif sized and value ~* '^\s*[0-9]{1,9}(\.[0-9]{1,6})?\s*(bytes|kB|MB|GB|TB)\s*$' then
        number := pg_size_bytes(value);
    end if;
    if number is null or number not between lowest and highest then
        raise exception using
            errcode = 'PB001',
            message = format('%L cannot be the setting %s', value, setting),
            hint = format('Use a number from %s to %s%s.', lowest, highest,
                case when sized then ', or a size such as 16MB' else '' end);
    end if;
    return number::bigint::text;
end
$$;

comment on function backup._check_number(text, text, bigint, bigint, boolean) is
    'A whole number in its plain form, or PB001.';

create or replace function backup._check_interval(
    setting text,
    value text
)
    returns text
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
    set intervalstyle = 'postgres'
as $$
declare
    span interval;
begin
    begin
        span := value::interval;
    exception
        when invalid_datetime_format or datetime_field_overflow or interval_field_overflow then null;
    end;
    -- Infinite intervals exist from Postgres 17 on and would silence the check.
    if span is null or span <= interval '0' or span > interval '100 years' then
        raise exception using
            errcode = 'PB001',
            message = format('%L cannot be the setting %s', value, setting),
            hint = 'Use a positive interval such as ''5 minutes'' or ''8 days''.';
    elsif setting = 'clock_max_skew' and span < interval '10 seconds' then
        raise exception using
            errcode = 'PB001',
            message = format('%L cannot be the setting %s', value, setting),
            hint = 'Use ''10 seconds'' or more: clocks are compared in steps of that.';
    end if;
    return span::text;
end
$$;

comment on function backup._check_interval(text, text) is 'A positive interval in its plain form, or PB001.';

create or replace function backup._check_name(
    setting text,
    value text,
    -- the whole value must match
    rule text,
    hint text
)
    returns text
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if value !~ rule then
        raise exception using
            errcode = 'PB001',
            message = format('%L cannot be the setting %s', value, setting),
            hint = _check_name.hint;
    end if;
    return value;
end
$$;

comment on function backup._check_name(text, text, text, text) is 'A name that keeps its rule, or PB001.';

create or replace function backup._check_secret(
    setting text,
    value text,
    -- the whole value must match
    rule text,
    hint text
)
    returns text
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    -- It is not repeated in the message, which goes to logs.
    if value ~ '[^!-~]' or length(value) not between 1 and 2000 or value !~ rule then
        raise exception using
            errcode = 'PB001',
            message = format('that cannot be the setting %s', setting),
            hint = _check_secret.hint;
    end if;
    return value;
end
$$;

comment on function backup._check_secret(text, text, text, text) is 'What is not for everybody''s eyes, or PB001.';

create or replace function backup._check_switch(
    setting text,
    value text
)
    -- on or off
    returns text
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return case when value::boolean then 'on' else 'off' end;
exception
    when invalid_text_representation then
        raise exception using
            errcode = 'PB001',
            message = format('%L cannot be the setting %s', value, setting),
            hint = 'Use on or off.';
end
$$;

comment on function backup._check_switch(text, text) is 'on or off, or PB001.';

create or replace function backup._check_setting(
    setting text,
    value text
)
    -- the value in its plain form: sizes in bytes, intervals as Postgres prints them
    returns text
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return case setting
        -- The same rule stands in src/box/server-name.ts.
        when 'server' then backup._check_name(setting, value, '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
            'Use 1 to 63 letters, digits, dots, underscores and hyphens, beginning with a letter or digit.')
        when 'slot' then backup._check_name(setting, value, '^[a-z0-9_]{1,63}$',
            'Use 1 to 63 lower-case letters, digits and underscores.')
        when 'compression_level' then backup._check_number(setting, value, 1, 19, false)
        when 'part_bytes' then backup._check_number(setting, value, 1048576, 1073741824, true)
        when 'upload_connections' then backup._check_number(setting, value, 1, 32, false)
        when 'upload_rate_limit' then backup._check_number(setting, value, 0, 1000000000000, true)
        when 'wal_interval' then backup._check_interval(setting, value)
        -- So little is kept at any time that a smaller limit would be a mistake of units.
        when 'wal_keep_limit' then case when value ~ '^\s*0+\s*$' then '0'
            else backup._check_number(setting, value, 1048576, 1000000000000000, true) end
        when 'base_after_gap' then backup._check_switch(setting, value)
        when 'stream_wal' then backup._check_switch(setting, value)
        when 'dump_jobs' then backup._check_number(setting, value, 0, 64, false)
        when 'dump_split_bytes' then backup._check_number(setting, value, 1048576, 1000000000000000, true)
        when 'dump_max_duration' then backup._check_interval(setting, value)
        when 'job_max_attempts' then backup._check_number(setting, value, 1, 100, false)
        when 'base_max_age' then backup._check_interval(setting, value)
        when 'drill_max_age' then backup._check_interval(setting, value)
        when 'wal_max_delay' then backup._check_interval(setting, value)
        when 'grant_warn_before' then backup._check_interval(setting, value)
        when 'wal_max_at_risk' then backup._check_number(setting, value, 1048576, 1000000000000000, true)
        when 'clock_max_skew' then backup._check_interval(setting, value)
        when 'disk_min_free' then backup._check_number(setting, value, 1, 90, false)
        when 'webhook_url' then backup._check_secret(setting, value, '^https?://[^/?#@]+([/?#].*)?$',
            'Use an address such as https://alerts.example.com/postbox.')
        when 'webhook_secret' then backup._check_secret(setting, value, '^.+$', 'Use 1 to 2000 printable characters.')
    end;
end
$$;

comment on function backup._check_setting(text, text) is
    'A value as it will be kept, or PB001; null for an unknown setting.';
