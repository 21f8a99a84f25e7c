create or replace function backup.start_dump(
    -- these tables, with their partitions; null for all
    tables regclass[] default null,
    -- these schemas; null for all
    schemas text[] default null,
    -- free text shown in backup.dumps
    label text default null,
    -- {"jobs": connections that copy at once, in place of the setting dump_jobs}
    options jsonb default '{}'
)
    -- id of the queued job; follow it in backup.jobs
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    queued bigint;
    problem text;
    wanted oid[];
begin
    select coalesce(
        (select format('%L is no option of a dump', k.name) from jsonb_object_keys(
            case jsonb_typeof(options) when 'object' then options else '{}' end) k (name)
         where k.name <> 'jobs' limit 1),
        case when options is null or jsonb_typeof(options) <> 'object' then 'the options are no JSON object'
            when options ? 'jobs' and options ->> 'jobs' !~ '^([1-9]|[1-5][0-9]|6[0-4])$' is not false
                then 'jobs must be a number from 1 to 64' end,
        case when length(label) > 200 or label ~ '[[:cntrl:]]'
            then 'the label is too long or holds control characters' end,
        case when tables is not null and schemas is not null then 'tables and schemas cannot be chosen together' end,
        case when cardinality(tables) = 0 or cardinality(schemas) = 0 then 'an empty list chooses nothing' end,
        (select format('there is no schema %L to dump', s.name) from unnest(schemas) s (name)
         where s.name is null or s.name in ('backup', 'information_schema') or s.name ~ '^pg_'
            or not exists (select from pg_namespace n where n.nspname = s.name) limit 1),
        (select format('%s is no table that can be dumped', coalesce(t.oid::regclass::text, 'null'))
         from unnest(tables) t (oid) left join pg_class c on c.oid = t.oid left join pg_namespace n on n.oid = c.relnamespace
         where c.oid is null or c.relkind not in ('r', 'p') or c.relpersistence = 't'
            or n.nspname in ('backup', 'information_schema') or n.nspname ~ '^pg_' limit 1),
        (select format('%I may not select from %s', r.name, t.oid::regclass)
         from unnest(tables) t (oid)
         cross join (select session_user union select w.role_name from backup._worker_session() w where w.is_worker) r (name)
         where not has_table_privilege(r.name, t.oid, 'select') limit 1)
    ) into problem;
    if problem is not null then
        raise exception using
            errcode = 'PB001', message = problem,
            hint = 'Name tables or schemas of this database that you and the worker may read; '
                'the only option is {"jobs": 1 to 64}.';
    end if;

    -- A partitioned table is dumped with its partitions.
    select array_agg(distinct p.oid) into wanted
    from (select t.oid from unnest(tables) t (oid)
          union select p.relid from unnest(tables) t (oid), pg_partition_tree(t.oid) p) p;
    insert into backup._job (kind, target)
    values ('dump', jsonb_build_object('label', nullif(label, ''), 'tables', to_jsonb(wanted::bigint[]),
        'schemas', to_jsonb(schemas), 'jobs', (options ->> 'jobs')::integer))
    returning _job.job_id into queued;
    perform pg_notify('postbox', 'job');
    return queued;
end
$$;

comment on function backup.start_dump(regclass[], text[], text, jsonb) is
    'Queue a logical dump of this database and return its job id.';

create or replace function backup._finish_dump(
    job_id bigint,
    -- {dump_id, label, system_identifier, database_name, snapshot_lsn, snapshot_at, tables, table_rows, raw_bytes,
    -- stored_bytes, manifest_key, postgres_version_num}
    description jsonb
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    -- A cancel that comes after the manifest was stored comes too late: the dump exists.
    perform backup._lock_running(_finish_dump.job_id);
    insert into backup._dump
    select d.* from jsonb_populate_record(null::backup._dump,
        description || jsonb_build_object('job_id', _finish_dump.job_id, 'finished_at', now())) d;
    update backup._job j
    set state = 'done', ended_at = now(), error = null, phase = null,
        bytes_done = (description ->> 'raw_bytes')::bigint, bytes_total = (description ->> 'raw_bytes')::bigint
    where j.job_id = _finish_dump.job_id;
end
$$;

comment on function backup._finish_dump(bigint, jsonb) is 'Commit a dump: its row and the end of its job in one.';

create or replace view backup.dumps as
select d.dump_id, d.job_id, d.label, d.database_name, d.snapshot_lsn, d.snapshot_at, d.finished_at, d.tables,
       d.table_rows, d.raw_bytes, d.stored_bytes, d.manifest_key, d.system_identifier, d.postgres_version_num
from backup._dump d;

comment on view backup.dumps is 'Finished dumps: all parts and the manifest are stored.';
comment on column backup.dumps.dump_id is 'Its folder in the bucket.';
comment on column backup.dumps.job_id is 'The job that took it.';
comment on column backup.dumps.label is 'Free text given at the start.';
comment on column backup.dumps.database_name is 'The database that was dumped.';
comment on column backup.dumps.snapshot_lsn is 'End of WAL when its snapshot was taken.';
comment on column backup.dumps.snapshot_at is 'When its snapshot was taken: the moment that it shows.';
comment on column backup.dumps.finished_at is 'When it was committed.';
comment on column backup.dumps.tables is 'Number of tables with data of their own.';
comment on column backup.dumps.table_rows is 'Rows of all of them.';
comment on column backup.dumps.raw_bytes is 'Bytes before compression.';
comment on column backup.dumps.stored_bytes is 'Bytes in the bucket.';
comment on column backup.dumps.manifest_key is 'Object that names every part.';
comment on column backup.dumps.system_identifier is 'As pg_control_system() shows it.';
comment on column backup.dumps.postgres_version_num is 'Version of Postgres, as server_version_num.';
