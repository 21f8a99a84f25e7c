create or replace function backup._refuse_grant(
    -- what is wrong; never the policy or the signature
    reason text,
    server text,
    sqlstate_code text default 'PB003'
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = sqlstate_code,
        message = format('the grant cannot be used: %s', reason),
        hint = format('Make a new one where the S3 keys are: postbox grant --server %s', coalesce(server, 'NAME'));
end
$$;

comment on function backup._refuse_grant(text, text, text) is 'Raise why a grant is refused: PB003, PB004 or PB005.';

create or replace function backup._grant_policy(
    -- base64 of JSON, as in the form's field
    encoded text
)
    -- null when it is not that
    returns jsonb
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return convert_from(decode(encoded, 'base64'), 'UTF8')::jsonb;
exception
    when data_exception or untranslatable_character then return null;
end
$$;

comment on function backup._grant_policy(text) is 'The decoded policy of a grant.';

create or replace function backup._grant_moment(
    -- ISO 8601 in UTC, with Z
    moment text
)
    -- null when it is not that
    returns timestamptz
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if moment ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$' then
        return moment::timestamptz;
    end if;
    return null;
exception
    when data_exception then return null;
end
$$;

comment on function backup._grant_moment(text) is 'A moment of a grant; S3 takes UTC with Z only.';

create or replace function backup._policy_conditions(
    policy jsonb
)
    -- {"k": "v"} means ["eq", "$k", "v"]; field names are lower-cased, as S3 compares them
    returns table (operator text, name text, value text, lowest text, highest text)
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select 'eq', lower(o.key), o.value, null::text, null::text
    from jsonb_array_elements(policy -> 'conditions') c (item)
    cross join lateral jsonb_each_text(case when jsonb_typeof(c.item) = 'object' then c.item else '{}' end) o
    union all
    select lower(c.item ->> 0), lower(ltrim(c.item ->> 1, '$')), c.item ->> 2, c.item ->> 1, c.item ->> 2
    from jsonb_array_elements(policy -> 'conditions') c (item)
    where jsonb_typeof(c.item) = 'array'
$$;

comment on function backup._policy_conditions(jsonb) is 'The conditions of a POST policy, one row each.';

create or replace function backup._check_policy(
    content jsonb,
    policy jsonb
)
    returns void
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    server text := content ->> 'server';
    wrong text;
begin
    if backup._grant_moment(policy ->> 'expiration')
       is distinct from backup._grant_moment(content ->> 'expires_at') then
        perform backup._refuse_grant('expires_at is not the expiration of its policy', server);
    end if;

    -- What must be there. Checksum and key are the worker's, so they may only begin with what is agreed.
    select n.reason into wrong
    from (values
        ('eq', 'bucket', content ->> 'bucket', 'its policy is not for the bucket that it names'),
        ('starts-with', 'key', content ->> 'key_prefix', 'its policy does not allow keys under key_prefix'),
        ('eq', 'success_action_status', '201', 'its policy does not ask for status 201'),
        ('starts-with', 'x-amz-checksum-sha256', '', 'its policy does not allow a SHA-256 checksum'),
        ('eq', 'x-amz-algorithm', 'AWS4-HMAC-SHA256', 'its policy is not signed with AWS4-HMAC-SHA256'),
        ('eq', 'x-amz-credential', content #>> '{fields,x-amz-credential}', 'its credential is not that of its policy'),
        ('eq', 'x-amz-date', content #>> '{fields,x-amz-date}', 'its date is not that of its policy')
    ) n (operator, name, value, reason)
    where not exists (
        select from backup._policy_conditions(policy) c
        where c.operator = n.operator and c.name = n.name and c.value = n.value
    )
    limit 1;
    if wrong is null and not exists (
        select from backup._policy_conditions(policy) c
        where c.operator = 'content-length-range' and c.highest = content ->> 'max_part_bytes'
          and c.lowest in ('0', '1')
    ) then
        wrong := 'its policy does not allow parts of up to max_part_bytes';
    end if;

    -- What must not be there: it would let the holder publish, relabel or redirect, or make every post fail.
    select coalesce(wrong, min(format('its policy has a condition on %s', c.name))) into wrong
    from backup._policy_conditions(policy) c
    where c.name in ('acl', 'tagging', 'redirect', 'success_action_redirect', 'x-amz-website-redirect-location');
    select coalesce(wrong, min(format('its field %s is not as its policy demands', c.name))) into wrong
    from backup._policy_conditions(policy) c
    where c.operator = 'eq' and c.name <> 'bucket' and c.value is distinct from content -> 'fields' ->> c.name;
    select coalesce(wrong, min(format('its policy has no condition on the field %s', f.key))) into wrong
    from jsonb_each_text(content -> 'fields') f
    where f.key not in ('policy', 'x-amz-signature')
      and not exists (select from backup._policy_conditions(policy) c where c.name = lower(f.key));
    if wrong is not null then
        perform backup._refuse_grant(wrong, server);
    end if;
end
$$;

comment on function backup._check_policy(jsonb, jsonb) is
    'Refuse a grant whose signed policy is not what the grant says.';
