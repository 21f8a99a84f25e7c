create or replace function backup.install_grant(
    -- what `postbox grant` prints
    "grant" jsonb
)
    -- when it expires
    returns timestamptz
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    content jsonb := install_grant."grant";
    added bigint;
begin
    perform backup._check_grant(content, backup._setting_value('server'));

    -- The first grant names the server.
    if backup._setting_value('server') is null then
        perform backup.configure('server', content ->> 'server');
    end if;
    insert into backup._grant (server, content, digest, issued_at, expires_at)
    values (content ->> 'server', content, sha256(convert_to(content::text, 'UTF8')),
            (content ->> 'issued_at')::timestamptz, (content ->> 'expires_at')::timestamptz)
    on conflict on constraint grant_once do nothing
    returning grant_id into added;

    if added is not null then
        delete from backup._grant g where g.expires_at <= clock_timestamp();
        perform pg_notify('postbox', 'grant');
        perform backup._commit_locally();
    end if;
    return (content ->> 'expires_at')::timestamptz;
end
$$;

comment on function backup.install_grant(jsonb) is
    'Check a grant made by postbox grant, keep it, and return when it expires. The one that ends last is used.';

create or replace function backup._grant_in_use()
    -- null: there is none
    returns bigint
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select g.grant_id from backup._grant g
    where g.server = backup._setting_value('server') and g.expires_at > clock_timestamp()
    order by g.expires_at desc, g.grant_id desc
    limit 1
$$;

comment on function backup._grant_in_use() is 'The grant that ends last, of those for this server that have not ended.';

create or replace function backup._grant()
    -- as it was signed, a secret; null: there is none
    returns jsonb
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select g.content from backup._grant g where g.grant_id = backup._grant_in_use()
$$;

comment on function backup._grant() is 'The whole grant in use, for the worker alone.';

create or replace view backup.grants as
select g.server, g.content ->> 'url' as url, g.content ->> 'bucket' as bucket, g.content ->> 'key_prefix' as key_prefix,
       (g.content ->> 'max_part_bytes')::bigint as max_part_bytes, g.issued_at, g.expires_at, g.installed_at,
       coalesce(g.grant_id = (select backup._grant_in_use()), false) as in_use
from backup._grant g;

comment on view backup.grants is 'Grants that were installed and have not been replaced. Never the signature.';
comment on column backup.grants.server is 'The server that it was signed for.';
comment on column backup.grants.url is 'Where objects are posted.';
comment on column backup.grants.bucket is 'The bucket that it is good for.';
comment on column backup.grants.key_prefix is 'What every key must begin with.';
comment on column backup.grants.max_part_bytes is 'The largest object that may be posted.';
comment on column backup.grants.issued_at is 'When it was signed.';
comment on column backup.grants.expires_at is 'When it ends.';
comment on column backup.grants.installed_at is 'When it came here.';
comment on column backup.grants.in_use is 'True for the one that the worker posts with.';
