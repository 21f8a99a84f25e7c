create or replace function backup._check_grant_shape(
    content jsonb
)
    returns void
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    server text := case when jsonb_typeof(content) = 'object' then content ->> 'server' end;
    wrong text;
begin
    if content is null or jsonb_typeof(content) <> 'object' or content -> 'postbox_grant' is distinct from '1' then
        perform backup._refuse_grant('it is not a grant of format 1', null);
    end if;

    select string_agg(n.name, ', ') into wrong
    from unnest(array['server', 'url', 'bucket', 'key_prefix', 'issued_at', 'expires_at']) n (name)
    where coalesce(jsonb_typeof(content -> n.name) <> 'string' or content ->> n.name = '', true);
    if wrong is not null then
        perform backup._refuse_grant(format('it has no %s', wrong), null);
    end if;
    if server !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' then
        perform backup._refuse_grant('its server name is none', null);
    end if;
    if content ->> 'key_prefix' <> server || '/' then
        perform backup._refuse_grant('its key_prefix is not its server and a slash', server);
    end if;
    if content ->> 'url' !~ '^https?://[A-Za-z0-9.:\[\]-]+(/[^\s?#@]*)?$' then
        perform backup._refuse_grant('its url is not the plain address of a bucket', server);
    end if;
    if coalesce(jsonb_typeof(content -> 'max_part_bytes') <> 'number'
                or content ->> 'max_part_bytes' !~ '^[1-9][0-9]{0,15}$', true) then
        perform backup._refuse_grant('its max_part_bytes is not a positive number', server);
    end if;
    if coalesce(
        backup._grant_moment(content ->> 'issued_at') >= backup._grant_moment(content ->> 'expires_at'), true) then
        perform backup._refuse_grant('issued_at and expires_at are not two moments in order, in UTC with Z', server);
    end if;

    if jsonb_typeof(content -> 'fields') is distinct from 'object' or exists (
        -- A line end in a value would end the form's field and begin another.
        select from jsonb_each(content -> 'fields') f
        where jsonb_typeof(f.value) <> 'string' or f.key !~ '^[a-z0-9_-]+$' or f.value #>> '{}' ~ '[[:cntrl:]]'
    ) then
        perform backup._refuse_grant('its fields are not plain text under lower-case names', server);
    end if;
    select min(f.key) into wrong from jsonb_object_keys(content -> 'fields') f (key)
    where f.key in ('key', 'content-type', 'x-amz-checksum-sha256', 'file');
    if wrong is not null then
        perform backup._refuse_grant(format('its field %s is the worker''s to fill', wrong), server);
    end if;
    select string_agg(n.name, ', ') into wrong
    from unnest(array['policy', 'x-amz-signature', 'x-amz-algorithm', 'x-amz-credential', 'x-amz-date',
        'success_action_status']) n (name)
    where coalesce(content -> 'fields' ->> n.name, '') = '';
    if wrong is not null then
        perform backup._refuse_grant(format('it has no field %s', wrong), server);
    end if;
    if content #>> '{fields,x-amz-signature}' !~ '^[0-9a-f]{64}$' then
        perform backup._refuse_grant('its signature is not 64 hex digits', server);
    end if;
end
$$;

comment on function backup._check_grant_shape(jsonb) is
    'Refuse what does not have the shape of a grant (src/box/grant.ts).';

create or replace function backup._check_grant(
    content jsonb,
    -- the setting server; null takes any
    wanted_server text
)
    returns void
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    policy jsonb;
begin
    perform backup._check_grant_shape(content);
    if content ->> 'server' <> wanted_server then
        perform backup._refuse_grant(
            format('it is for %s and this server is %s', content ->> 'server', wanted_server),
            wanted_server, 'PB005');
    end if;
    if backup._grant_moment(content ->> 'expires_at') <= clock_timestamp() then
        perform backup._refuse_grant(
            format('it ended at %s', content ->> 'expires_at'), content ->> 'server', 'PB004');
    end if;

    policy := backup._grant_policy(content #>> '{fields,policy}');
    if policy is null or jsonb_typeof(policy) <> 'object'
       or jsonb_typeof(policy -> 'conditions') is distinct from 'array' then
        perform backup._refuse_grant('its policy is not base64 of a POST policy', content ->> 'server');
    end if;
    perform backup._check_policy(content, policy);
end
$$;

comment on function backup._check_grant(jsonb, text) is
    'Refuse a grant that cannot be used: PB003 malformed, PB004 expired, PB005 for another server.';
