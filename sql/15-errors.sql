-- SQLSTATEs of Postbox are listed in README.md beside this file.
create or replace function backup._check_error(
    error jsonb
)
    -- the error, if it is {code, message, hint}
    returns jsonb
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    if error is null or jsonb_typeof(error) <> 'object'
       or nullif(error ->> 'code', '') is null or nullif(error ->> 'message', '') is null
       or error ->> 'hint' is null then
        raise exception using
            errcode = 'PB001',
            message = 'an error needs a code, a message and a hint',
            hint = 'Pass {"code": ..., "message": ..., "hint": ...}, all text.';
    end if;
    return error;
end
$$;

comment on function backup._check_error(jsonb) is 'An error as the catalog keeps it, or PB001.';

create or replace function backup._canceled_error(
    job_id bigint
)
    returns jsonb
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
return jsonb_build_object(
    'code', 'job_canceled',
    'message', format('job %s was canceled', job_id),
    'hint', 'Start the backup again when it is wanted.');

comment on function backup._canceled_error(bigint) is 'The error that a canceled job carries.';
