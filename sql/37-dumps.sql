create or replace function backup.start_dump(
    -- these tables, with their partitions; null for all
    tables regclass[] default null,
    -- these schemas; null for all
    schemas text[] default null,
    -- free text shown in backup.dumps
    label text default null,
    -- {"jobs": connections that copy at once, in place of the setting dump_jobs,
    --  "only": "schema" or "data",
    --  "exclude": ["schema.table", ...] left out with all partitions; * and ? stand for any characters, or one,
    --  "exclude_data": ["schema.table", ...] the same, for the rows alone,
    --  "where": {"schema.table": condition, ...} only these rows,
    --  "masked": true for what backup.mask() says in place of the columns,
    --  "extension_rows": true for the user's rows in tables of extensions, which a masked dump leaves out,
    --  "row_security": true to take the rows that policies let the worker see, in place of an error}
    options jsonb default '{}'
)
    -- id of the queued job; follow it in backup.jobs
    returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    queued bigint := backup._queue_dump(tables, schemas, label, options);
    table_name text;
    condition text;
begin
    -- As the caller, whose rights are all that its own SQL may have. What fails takes the queued job back.
    for table_name, condition in select w.key, w.value from jsonb_each_text(options -> 'where') w loop
        perform backup._try_expression(table_name::regclass, condition, 'boolean');
    end loop;
    -- That a superuser wrote them only a superuser can put down.
    if (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        update backup._job j set target = j.target || '{"by_superuser": true}' where j.job_id = queued;
    end if;
    return queued;
end
$$;

comment on function backup.start_dump(regclass[], text[], text, jsonb) is
    'Queue a logical dump of this database and return its job id.';

create or replace function backup._checked_target(
    tables regclass[],
    schemas text[],
    label text,
    -- as of backup.start_dump(), which tries the conditions
    options jsonb
)
    -- what the job is to hold, as backup._dump_target() has it; PB001 when it cannot be dumped
    returns jsonb
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    target jsonb;
    -- Each looks only at what the one before it has let pass.
    problem text := coalesce(backup._option_problem(options), backup._choice_problem(tables, schemas, label, options));
begin
    if problem is null then
        target := backup._dump_target(tables, schemas, label, options);
        problem := backup._access_problem(target);
    end if;
    if problem is not null then
        raise exception using
            errcode = 'PB001', message = problem,
            hint = 'Name tables or schemas of this database that the worker may read; the options are '
                'jobs, only, exclude, exclude_data, where, masked, extension_rows and row_security.';
    end if;
    if (target ->> 'masked')::boolean then
        perform backup._masks();
    end if;
    return target;
end
$$;

comment on function backup._checked_target(regclass[], text[], text, jsonb) is
    'What a dump is to hold, after every check that needs no rows.';

create or replace function backup._queue_dump(
    tables regclass[],
    schemas text[],
    label text,
    -- as of backup.start_dump(), which tries the conditions
    options jsonb
)
    -- id of the queued job
    returns bigint
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    queued bigint;
begin
    insert into backup._job (kind, target)
    values ('dump', backup._checked_target(tables, schemas, label, options)) returning _job.job_id into queued;
    perform pg_notify('postbox', 'job');
    return queued;
end
$$;

comment on function backup._queue_dump(regclass[], text[], text, jsonb) is 'Check what a dump is to hold, and queue it.';

create or replace function backup._dump_target(
    tables regclass[],
    schemas text[],
    label text,
    options jsonb
)
    -- what the worker goes by: tables by their oids, partitions and heirs one by one
    returns jsonb
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object(
        'label', nullif(label, ''),
        'tables', (select jsonb_agg(distinct f.relation::bigint)
                   from unnest(tables) t (oid) cross join backup._family(t.oid) f),
        'schemas', to_jsonb(schemas),
        'jobs', (options ->> 'jobs')::integer,
        'only', options ->> 'only',
        'exclude', coalesce(options -> 'exclude', '[]'),
        'exclude_data', coalesce(options -> 'exclude_data', '[]'),
        'where', coalesce((
            select jsonb_object_agg(c.relation::bigint::text, c.condition)
            from (select distinct on (f.relation) f.relation, w.value as condition
                  from jsonb_each_text(options -> 'where') w cross join backup._family(to_regclass(w.key)) f
                  order by f.relation, f.depth, w.key) c), '{}'),
        -- The tables that the conditions were written for, as they may call them.
        'origins', coalesce((
            select jsonb_object_agg(o.relation::bigint::text, o.name)
            from (select distinct on (f.relation) f.relation, c.relname as name
                  from jsonb_object_keys(options -> 'where') w (key) join pg_class c on c.oid = to_regclass(w.key)
                  cross join backup._family(c.oid) f
                  order by f.relation, f.depth, w.key) o), '{}'),
        'masked', coalesce((options ->> 'masked')::boolean, false),
        'row_security', coalesce((options ->> 'row_security')::boolean, false),
        'extension_rows', coalesce((options ->> 'extension_rows')::boolean, false),
        'by_superuser', false)
$$;

comment on function backup._dump_target(regclass[], text[], text, jsonb) is
    'What was asked for, as the job keeps it.';

create or replace function backup._finish_dump(
    job_id bigint,
    -- {dump_id, label, system_identifier, database_name, snapshot_lsn, snapshot_at, whole, masked, tables, table_rows,
    -- raw_bytes, stored_bytes, manifest_key, postgres_version_num, warnings}
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
        '{"warnings": []}' || description || jsonb_build_object('job_id', _finish_dump.job_id, 'finished_at', now())) d;
    update backup._job j
    set state = 'done', ended_at = now(), error = null, phase = null,
        bytes_done = (description ->> 'raw_bytes')::bigint, bytes_total = (description ->> 'raw_bytes')::bigint,
        tables = jsonb_build_object('done', description -> 'tables', 'total', description -> 'tables')
    where j.job_id = _finish_dump.job_id;
end
$$;

comment on function backup._finish_dump(bigint, jsonb) is 'Commit a dump: its row and the end of its job in one.';

create or replace function backup._previous_dump(
    system_identifier bigint
)
    -- key of its manifest; null before the first
    returns text
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select d.manifest_key from backup._dump d
    where d.system_identifier = _previous_dump.system_identifier
    order by d.finished_at desc, d.dump_id desc
    limit 1
$$;

comment on function backup._previous_dump(bigint) is 'What the next dump names as its predecessor.';

create or replace view backup.dumps as
select d.dump_id, d.job_id, d.label, d.database_name, d.snapshot_lsn, d.snapshot_at, d.finished_at, d.whole, d.masked,
       d.tables, d.table_rows, d.raw_bytes, d.stored_bytes, d.manifest_key, d.system_identifier, d.postgres_version_num,
       d.warnings
from backup._dump d;

comment on view backup.dumps is 'Finished dumps: all parts and the manifest are stored.';
comment on column backup.dumps.dump_id is 'Its folder in the bucket.';
comment on column backup.dumps.job_id is 'The job that took it.';
comment on column backup.dumps.label is 'Free text given at the start.';
comment on column backup.dumps.database_name is 'The database that was dumped.';
comment on column backup.dumps.snapshot_lsn is
    'End of WAL when its snapshot was taken: recovery to here shows all that it holds.';
comment on column backup.dumps.snapshot_at is 'When its snapshot was taken: the moment that it shows.';
comment on column backup.dumps.finished_at is 'When it was committed.';
comment on column backup.dumps.whole is
    'Whether nothing was to be left out, filtered or masked: all of the database but the schema backup and what warnings name.';
comment on column backup.dumps.masked is 'Whether columns were masked, so that it cannot restore what was there.';
comment on column backup.dumps.tables is 'Number of tables whose rows it holds.';
comment on column backup.dumps.table_rows is 'Rows of all of them.';
comment on column backup.dumps.raw_bytes is 'Bytes before compression.';
comment on column backup.dumps.stored_bytes is 'Bytes in the bucket.';
comment on column backup.dumps.manifest_key is 'Object that names every part.';
comment on column backup.dumps.system_identifier is 'As pg_control_system() shows it.';
comment on column backup.dumps.postgres_version_num is 'Version of Postgres, as server_version_num.';
comment on column backup.dumps.warnings is
    'What pg_dump could not take, such as subscriptions for a worker that is no superuser, and what a masked dump left out.';
