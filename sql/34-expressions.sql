create or replace function backup._expression_problem(
    expression text
)
    -- why this is not one expression of SQL; null when nothing speaks against it
    returns text
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    -- A string or quoted name may hold anything: it becomes one control character. In what is left nothing may end the
    -- expression or begin another. E'' strings are refused: a second line of one has its escapes without the E.
    with code (rest) as (
        select regexp_replace(expression, '''([^'']|'''')*''|"([^"]|"")*"', e'\u0001', 'g')
    ), parenthesis (opened) as (
        select sum(case p.sign[1] when '(' then 1 else -1 end) over (order by p.place)
        from code c cross join regexp_matches(c.rest, '[()]', 'g') with ordinality p (sign, place)
    )
    select case
        when nullif(btrim(expression), '') is null then 'it is empty'
        when length(expression) > 10000 then 'it is longer than 10000 characters'
        when expression ~ '\u0001' then 'it holds a control character'
        when rest ~ '[''"]' then 'a quote is open'
        when rest ~ '\m[eE]\u0001' then 'it holds a string with escapes'
        when rest ~ '[;$\\]|--|/\*' then 'it holds a semicolon, a dollar sign, a backslash or a comment'
        when exists (select from parenthesis p where p.opened < 0)
            or regexp_count(rest, '\(') <> regexp_count(rest, '\)') then 'its parentheses do not match'
    end
    from code
$$;

comment on function backup._expression_problem(text) is
    'Why a text cannot stand between parentheses as one expression.';

create or replace function backup._try_expression(
    relation regclass,
    -- of its columns
    expression text,
    -- what it must give
    type_name text
)
    -- whether it gave null for a row
    returns boolean
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set standard_conforming_strings = on
as $$
declare
    problem text := backup._expression_problem(expression);
    -- More takes seconds, for which a DBA waits once.
    tried constant bigint := 1000000;
    nulls bigint;
    name text := (select quote_ident(c.relname) from pg_class c where c.oid = relation);
    about bigint := (select sum(c.reltuples) from pg_class c
                     where c.oid in (select t.relid from pg_partition_tree(relation) t where t.isleaf
                                     union all select relation::oid) and c.relkind <> 'p');
begin
    if problem is not null then
        raise exception using
            errcode = 'PB001', message = format('%L cannot be used: %s', expression, problem),
            hint = 'Write one expression of the columns of its table.';
    end if;
    -- Where rows are chosen, Postgres allows neither aggregates nor sets. Every row is tried, not only up to the first null.
    execute format('select count(*) from (select * from %s limit %s) %s where (((%s)::%s) is null)',
        relation, tried, name, expression, type_name) into nulls;
    if about > tried then
        raise notice '% was tried for the first % of about % rows of %: one that it fails for fails the dump',
            quote_literal(expression), tried, about, relation;
    end if;
    return nulls > 0;
exception
    when syntax_error_or_access_rule_violation or data_exception or integrity_constraint_violation
        or invalid_schema_name or feature_not_supported or program_limit_exceeded or plpgsql_error then
    raise exception using
        errcode = 'PB001', message = format('%L cannot be used for %s: %s', expression, relation, sqlerrm),
        hint = 'Write one expression of the columns of its table, with the schema of every function that is not '
            'Postgres''s own; you must be able to select from it.';
end
$$;

comment on function backup._try_expression(regclass, text, text) is
    'Evaluate an expression for the rows of a table, the first million of them, as the caller, or PB001.';
