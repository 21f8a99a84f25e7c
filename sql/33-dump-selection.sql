create or replace function backup._is_dumped_schema(
    schema oid
)
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select exists (select from pg_namespace n where n.oid = schema
                   and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'backup'))
$$;

comment on function backup._is_dumped_schema(oid) is 'Whether a schema is the database''s own: neither Postgres''s nor ours.';

create or replace function backup._is_dumped_table(
    relation oid
)
    -- also for a partitioned table, whose rows are its partitions'. What extensions bring is left to pg_dump, which
    -- knows what of it to keep
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_class c
        where c.oid = relation and c.relkind in ('r', 'p') and c.relpersistence <> 't'
          and backup._is_dumped_schema(c.relnamespace)
          and not exists (select from pg_depend d
              where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
$$;

comment on function backup._is_dumped_table(oid) is 'Whether a dump copies this table.';

create or replace function backup._named_table(
    -- with its schema
    name text
)
    -- null when there is none
    returns regclass
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return case when cardinality(parse_ident(name)) = 2 then to_regclass(name) end;
exception
    when invalid_parameter_value or syntax_error or invalid_name then return null;
end
$$;

comment on function backup._named_table(text) is 'The table of a name that says its schema.';

create or replace function backup._family(
    relation oid
)
    -- itself, at depth 0, and all that inherit from it: partitions and heirs
    returns table (relation oid, depth integer)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with recursive family (relation, depth) as (
        select $1, 0
        union
        select i.inhrelid, f.depth + 1 from family f join pg_inherits i on i.inhparent = f.relation
    )
    select f.relation, min(f.depth) from family f group by f.relation
$$;

comment on function backup._family(oid) is 'A table and all that inherit from it.';

create or replace function backup._pattern_regex(
    -- schema.table; each part in lower case with * and ? or, in double quotes, as it is
    pattern text
)
    -- for schema and table with a line feed between them; null when it is no such pattern
    returns text
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select '^' || array_to_string(array(
        select case when n.part like '"%'
            then regexp_replace(replace(substr(n.part, 2, length(n.part) - 2), '""', '"'), '([^[:alnum:]_])', '\\\1', 'g')
            else replace(replace(replace(n.part, '$', '\$'), '*', '[^\n]*'), '?', '[^\n]') end
        from (select m.found[1], m.place
              from regexp_matches(pattern, '"(?:[^"\n]|"")+"|[[:lower:][:digit:]_$*?]+', 'g') with ordinality m (found, place)
        ) n (part, place)
        order by n.place), '\n') || '$'
    where pattern ~ '^("([^"\n]|"")+"|[[:lower:][:digit:]_$*?]+)\.("([^"\n]|"")+"|[[:lower:][:digit:]_$*?]+)$'
$$;

comment on function backup._pattern_regex(text) is 'A pattern of tables as a regular expression.';

create or replace function backup._matching(
    patterns text[]
)
    -- what they match of any kind (tables, views, sequences, ...), and all that inherit from it
    returns table (relation oid)
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select distinct f.relation
    from unnest(patterns) p (pattern)
    join pg_class c on c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    join pg_namespace n on n.oid = c.relnamespace and n.nspname || E'\n' || c.relname ~ backup._pattern_regex(p.pattern)
    cross join backup._family(c.oid) f
    where backup._is_dumped_schema(n.oid)
$$;

comment on function backup._matching(text[]) is 'Relations that patterns choose.';

create or replace function backup._dump_selection(
    -- as backup._dump_target() has it
    target jsonb
)
    returns table (relation oid)
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select c.oid
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and backup._is_dumped_table(c.oid) and target ->> 'only' is distinct from 'schema'
      and (target ->> 'tables' is null or target -> 'tables' @> to_jsonb(c.oid::bigint))
      and (target ->> 'schemas' is null or target -> 'schemas' ? n.nspname)
      and c.oid not in (
          select m.relation from backup._matching(array(
              select jsonb_array_elements_text((target -> 'exclude') || (target -> 'exclude_data')))) m)
$$;

comment on function backup._dump_selection(jsonb) is 'Tables whose rows a dump holds.';

create or replace function backup._is_filtered(
    relation oid,
    reader oid
)
    returns boolean
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from pg_class c join pg_roles r on r.oid = reader
        where c.oid = relation and c.relrowsecurity and not r.rolsuper and not r.rolbypassrls
          and (c.relforcerowsecurity or not pg_has_role(r.oid, c.relowner, 'usage')))
$$;

comment on function backup._is_filtered(oid, oid) is 'Whether row-level security may hide rows of a table from a role.';
