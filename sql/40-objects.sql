create or replace function backup._from_hex(
    hex text
)
    -- null when it is no SHA-256 in lower-case hex
    returns bytea
    language sql
    immutable parallel safe
    set search_path = pg_catalog, pg_temp
return case when hex ~ '^[0-9a-f]{64}$' then decode(hex, 'hex') end;

comment on function backup._from_hex(text) is 'A SHA-256 from its 64 hex digits.';

create or replace function backup._record_object(
    job_id bigint,
    -- part, backup_manifest, manifest ...
    kind text,
    key text,
    bytes bigint,
    -- before compression
    raw_bytes bigint,
    -- of the stored bytes
    sha256 bytea
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    kept bytea;
begin
    if nullif(kind, '') is null or nullif(key, '') is null or bytes is null or bytes < 1
       or raw_bytes is null or raw_bytes < 0 or sha256 is null or octet_length(sha256) <> 32 then
        raise exception using
            errcode = 'PB001',
            message = format('an object of job %s is not described whole: %s', job_id, coalesce(key, 'null')),
            hint = 'It needs a kind, a key, its sizes and a SHA-256 of 32 bytes.';
    end if;
    if not exists (select from backup._job j where j.job_id = _record_object.job_id) then
        raise exception using
            errcode = 'PB002', message = format('there is no job %s', coalesce(job_id::text, 'null')),
            hint = 'See backup.jobs.';
    end if;

    select o.sha256 into kept from backup._object o where o.key = _record_object.key;
    if not found then
        insert into backup._object (key, kind, job_id, bytes, raw_bytes, sha256)
        values (_record_object.key, _record_object.kind, _record_object.job_id, _record_object.bytes,
                _record_object.raw_bytes, _record_object.sha256);
    elsif kept <> _record_object.sha256 then
        raise exception using
            errcode = 'PB022',
            message = format('the object %s was stored before with other content', key),
            hint = 'A key carries its content, so this must not be: keep the bucket as it is and report it.';
    end if;
end
$$;

comment on function backup._record_object(bigint, text, text, bigint, bigint, bytea) is
    'Note a stored object of a job. The same one again is nothing new; other bytes under its key raise PB022.';
