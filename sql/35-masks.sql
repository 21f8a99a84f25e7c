create or replace function backup._column_path(
    -- schema.table.column
    name text
)
    -- its three parts; null when it is no such name
    returns text[]
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
begin
    return case when cardinality(parse_ident(name)) = 3 then parse_ident(name) end;
exception
    when invalid_parameter_value or syntax_error or invalid_name then return null;
end
$$;

comment on function backup._column_path(text) is 'The parts of the full name of a column.';

create or replace function backup._column(
    path text[]
)
    -- no row when there is no such column of a table that can be dumped. type_name: with its modifier
    returns table (relation regclass, type_name text, not_null boolean)
    language sql
    stable
    security definer
    rows 1
    set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass, format_type(a.atttypid, a.atttypmod), a.attnotnull
    from pg_namespace n
    join pg_class c on c.relnamespace = n.oid and c.relname = path[2]
    join pg_attribute a on a.attrelid = c.oid and a.attname = path[3]
    where n.nspname = path[1] and backup._is_dumped_table(c.oid)
      and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
$$;

comment on function backup._column(text[]) is 'A column that can be masked.';

create or replace function backup.mask(
    -- schema.table.column
    column_name text,
    -- SQL over the columns of its table, which masked dumps hold in place of the value; null takes the mask away
    expression text
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    masked record;
begin
    select * into masked from backup._column(backup._column_path(mask.column_name));
    -- As the caller, whose rights are all that its own SQL may have.
    if found and expression is not null
       and backup._try_expression(masked.relation, expression, masked.type_name) and masked.not_null then
        raise exception using
            errcode = 'PB001', message = format('%L gives null for %s, which is not null', expression, column_name),
            hint = 'Give a value for every row, such as coalesce(..., '''').';
    end if;
    perform backup._set_mask(column_name, expression);
    -- That a superuser wrote it only a superuser can put down.
    if expression is not null and (select r.rolsuper from pg_roles r where r.rolname = current_user) then
        update backup._mask m set set_by_superuser = true
        where array[m.schema_name, m.table_name, m.column_name] = backup._column_path(mask.column_name);
    end if;
end
$$;

comment on function backup.mask(text, text) is
    'Set what dumps with the option masked hold in place of a column, also in its partitions and heirs.';

create or replace function backup._set_mask(
    column_name text,
    -- that was tried; null takes the mask away
    expression text
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    path text[] := backup._column_path(_set_mask.column_name);
    problem text := backup._expression_problem(expression);
    known boolean;
begin
    if expression is null then
        -- The column may be gone.
        delete from backup._mask m where array[m.schema_name, m.table_name, m.column_name] = path;
        known := found;
        -- What it holds is no secret any more, unless another mask covers it.
        delete from backup._masked_column k
        using backup._named_columns(path) n
        where k.relation = n.relation and k.attnum = n.attnum
          and not exists (select from backup._covered() c where c.relation = k.relation and c.attnum = k.attnum);
        known := known or found;
    elsif problem is null then
        insert into backup._mask (schema_name, table_name, column_name, expression, set_by, set_by_superuser)
        -- The session of a superuser may run what others wrote, such as expressions of an index when it analyzes.
        select path[1], path[2], path[3], _set_mask.expression, session_user, false
        from backup._column(path)
        on conflict on constraint mask_pk do update
        set expression = excluded.expression, set_by = excluded.set_by, set_by_superuser = excluded.set_by_superuser,
            set_at = now();
        known := found;
    else
        raise exception using
            errcode = 'PB001', message = format('%L cannot be used: %s', expression, problem),
            hint = 'Write one expression of the columns of its table.';
    end if;
    if not known then
        raise exception using
            errcode = 'PB001', message = format('there is no %s %s',
                case when expression is null then 'mask of' else 'column that can be masked:' end, column_name),
            hint = 'Name it as schema.table.column. Generated columns follow from the others. See backup.masks.';
    end if;
    perform backup._remember_masked((select jsonb_agg(to_jsonb(c)) from backup._covered() c));
end
$$;

comment on function backup._set_mask(text, text) is 'Keep a mask, or take it away.';

create or replace function backup._named_columns(
    path text[]
)
    -- of the table and all that inherit from it, whether they can be masked or not
    returns table (relation oid, attnum smallint)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select f.relation, a.attnum
    from pg_namespace n
    join pg_class c on c.relnamespace = n.oid and c.relname = path[2]
    cross join backup._family(c.oid) f
    join pg_attribute a on a.attrelid = f.relation and a.attname = path[3] and not a.attisdropped
    where n.nspname = path[1]
$$;

comment on function backup._named_columns(text[]) is 'Columns that a full name means now.';

create or replace function backup._covered()
    -- for each table that has the column, the mask that is nearest: its own, or that of what it inherits from. masked: the
    -- full name of the column that has this mask; origin: its table, as the expression may call it
    returns table (
        relation oid, attnum smallint, column_name text, expression text, set_by_superuser boolean, masked text, origin text)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select distinct on (f.relation, a.attnum) f.relation, a.attnum, m.column_name, m.expression, m.set_by_superuser,
        format('%I.%I.%I', m.schema_name, m.table_name, m.column_name), m.table_name
    from backup._mask m
    cross join backup._column(array[m.schema_name, m.table_name, m.column_name]) c
    cross join backup._family(c.relation) f
    join pg_attribute a on a.attrelid = f.relation and a.attname = m.column_name and not a.attisdropped
    order by f.relation, a.attnum, f.depth, m.expression
$$;

comment on function backup._covered() is 'Every column that a mask covers, as this snapshot has them.';

create or replace function backup._masks()
    -- as backup._covered(). PB001 when one has lost its column, or a column the mask that it had: what is private must not
    -- go out because a name has changed
    returns table (
        relation oid, attnum smallint, column_name text, expression text, set_by_superuser boolean, masked text, origin text)
    language plpgsql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    lost text := (
        select format('%I.%I.%I', m.schema_name, m.table_name, m.column_name) from backup._mask m
        where not exists (select from backup._column(array[m.schema_name, m.table_name, m.column_name])) limit 1);
    bare record;
begin
    if lost is not null then
        raise exception using
            errcode = 'PB001', message = format('the mask of %s finds no column', lost),
            hint = 'Was it renamed or dropped? Set its mask anew, and take this one away: select backup.mask(..., null).';
    end if;
    select format('%I.%I.%I', n.nspname, t.relname, a.attname) as name, k.masked into bare
    from backup._masked_column k
    join pg_attribute a on a.attrelid = k.relation and a.attnum = k.attnum and not a.attisdropped
    join pg_class t on t.oid = k.relation
    join pg_namespace n on n.oid = t.relnamespace
    where k.catalog = 'backup._masked_column'::regclass
      and not exists (select from backup._covered() c where c.relation = k.relation and c.attnum = k.attnum)
    -- A mask for what others inherit from does for all.
    order by exists (select from pg_inherits i where i.inhrelid = k.relation), 1 limit 1;
    if found then
        raise exception using
            errcode = 'PB001', message = format('%s holds what the mask of %s covered, and no mask covers it now',
                bare.name, bare.masked),
            hint = format('Was it renamed or detached? Set a mask for it or, if it is no secret any more: '
                'select backup.mask(%L, null).', bare.name);
    end if;
    return query select * from backup._covered();
end
$$;

comment on function backup._masks() is 'Every masked column of every table, as this snapshot has them.';

create or replace function backup._remember_masked(
    -- rows of backup._masks() as a list; null for none
    covered jsonb
)
    returns void
    language sql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    -- What was dropped is forgotten, and what another database's oids say.
    delete from backup._masked_column k
    where k.catalog <> 'backup._masked_column'::regclass or not exists (
        select from pg_attribute a where a.attrelid = k.relation and a.attnum = k.attnum and not a.attisdropped);
    insert into backup._masked_column as k (relation, attnum, masked, catalog)
    select c.relation, c.attnum, c.masked, 'backup._masked_column'::regclass
    from jsonb_to_recordset(covered) c (relation oid, attnum smallint, masked text)
    order by c.relation, c.attnum
    on conflict on constraint masked_column_pk do update set masked = excluded.masked where k.masked <> excluded.masked;
$$;

comment on function backup._remember_masked(jsonb) is 'Keep which columns were masked, for when their names change.';

create or replace view backup.masks as
select m.schema_name, m.table_name, m.column_name, m.expression, m.set_by, m.set_at
from backup._mask m;

comment on view backup.masks is 'Columns in whose place masked dumps hold something else; see backup.mask().';
comment on column backup.masks.schema_name is 'Schema of its table.';
comment on column backup.masks.table_name is 'Its table; partitions and heirs follow it.';
comment on column backup.masks.column_name is 'The masked column.';
comment on column backup.masks.expression is 'SQL in place of its value.';
comment on column backup.masks.set_by is 'Who set it.';
comment on column backup.masks.set_at is 'When it was set.';
