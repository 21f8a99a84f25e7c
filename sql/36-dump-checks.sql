create or replace function backup._option_problem(
    -- as of backup.start_dump()
    options jsonb
)
    -- what is wrong with their form; null when nothing is
    returns text
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select case when options is null or jsonb_typeof(options) <> 'object' then 'the options are no JSON object' else coalesce(
        (select format('%L is no option of a dump', k.name) from jsonb_object_keys(options) k (name)
         where k.name not in ('jobs', 'only', 'exclude', 'exclude_data', 'where', 'masked', 'row_security', 'extension_rows') limit 1),
        case when options ? 'jobs' and options ->> 'jobs' !~ '^([1-9]|[1-5][0-9]|6[0-4])$' is not false
            then 'jobs must be a number from 1 to 64' end,
        case when options ? 'only' and options ->> 'only' not in ('schema', 'data') is not false
            then 'only must be "schema" or "data"' end,
        (select format('%s must be true or false', k.name) from unnest(array['masked', 'row_security', 'extension_rows']) k (name)
         where options ? k.name and jsonb_typeof(options -> k.name) <> 'boolean' limit 1),
        (select format('%s must be a list of names such as "public.log_*"', k.name)
         from unnest(array['exclude', 'exclude_data']) k (name)
         where options ? k.name and jsonb_typeof(options -> k.name) <> 'array' limit 1),
        (select format('%s is no pattern of the form schema.table', p.pattern)
         from unnest(array['exclude', 'exclude_data']) k (name)
         cross join jsonb_array_elements(options -> k.name) p (pattern)
         where jsonb_typeof(p.pattern) <> 'string' or backup._pattern_regex(p.pattern #>> '{}') is null limit 1),
        case when options ? 'where' and jsonb_typeof(options -> 'where') <> 'object'
            then 'where must be an object of "schema.table" and condition' end,
        (select format('the condition for %s is no text', w.key) from jsonb_each(options -> 'where') w
         where jsonb_typeof(w.value) <> 'string' limit 1),
        case when options ->> 'only' = 'schema' and (options ? 'where' or options ? 'masked' or options ? 'exclude_data')
            then 'a dump without rows can neither mask nor choose them' end) end
$$;

comment on function backup._option_problem(jsonb) is 'Why the options of a dump cannot be used in any database.';

create or replace function backup._choice_problem(
    tables regclass[],
    schemas text[],
    label text,
    -- of the right form
    options jsonb
)
    -- what is wrong with them in this database; null when nothing is
    returns text
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        case when length(label) > 200 or label ~ '[[:cntrl:]]'
            then 'the label is too long or holds control characters' end,
        case when tables is not null and schemas is not null then 'tables and schemas cannot be chosen together' end,
        case when cardinality(tables) = 0 or cardinality(schemas) = 0 then 'an empty list chooses nothing' end,
        (select format('there is no schema %s to dump', coalesce(quote_literal(s.name), 'null'))
         from unnest(schemas) s (name) left join pg_namespace n on n.nspname = s.name
         where n.oid is null or not backup._is_dumped_schema(n.oid) limit 1),
        (select format('%s is no table that can be dumped', coalesce(t.oid::regclass::text, 'null'))
         from unnest(tables) t (oid) where not backup._is_dumped_table(t.oid) limit 1),
        -- A name without wildcards is meant to be there.
        (select format('there is no table %s to leave out', p.pattern)
         from unnest(array['exclude', 'exclude_data']) k (name)
         cross join jsonb_array_elements_text(options -> k.name) p (pattern)
         where p.pattern !~ '[*?]' and not exists (select from backup._matching(array[p.pattern])) limit 1),
        (select format('%L is no table that can be dumped, with its schema', w.key)
         from jsonb_each_text(options -> 'where') w
         where not backup._is_dumped_table(backup._named_table(w.key)) limit 1),
        (select format('the condition for %s cannot be used: %s', w.key, backup._expression_problem(w.value))
         from jsonb_each_text(options -> 'where') w where backup._expression_problem(w.value) is not null limit 1),
        case when (options ->> 'masked')::boolean and not exists (select from backup._mask)
            then 'no column is masked: see backup.mask()' end)
$$;

comment on function backup._choice_problem(regclass[], text[], text, jsonb) is
    'Why this cannot be dumped from this database.';

create or replace function backup._access_problem(
    -- as backup._dump_target() has it
    target jsonb
)
    -- why the worker could not read it; null when it can, or when no worker is there to be asked about
    returns text
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (select format('there is a condition for %s, which is not dumped', w.key::oid::regclass)
         from jsonb_object_keys(target -> 'where') w (key) join pg_class c on c.oid = w.key::oid and c.relkind = 'r'
         where not exists (select from backup._dump_selection(target) s where s.relation = c.oid) limit 1),
        (select case
             when not has_table_privilege(r.oid, c.oid, 'select')
                 then format('the worker, %I, may not select from %s', r.rolname, c.oid::regclass)
             else format('row-level security hides rows of %s from the worker, %I', c.oid::regclass, r.rolname) end
         from backup._dump_selection(target) s
         join pg_class c on c.oid = s.relation
         cross join backup._worker_session() w
         join pg_roles r on r.rolname = w.role_name and w.is_worker
         where not has_table_privilege(r.oid, c.oid, 'select')
            or (not (target ->> 'row_security')::boolean and backup._is_filtered(c.oid, r.oid))
         limit 1))
$$;

comment on function backup._access_problem(jsonb) is 'Why the worker that is there now could not dump it.';
