create or replace function backup._cron_number(
    -- digits or a name
    word text,
    lowest integer,
    names text[]
)
    -- null for a name that is none
    returns numeric
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
return case when word ~ '^[0-9]+$' then word::numeric else array_position(names, word) - 1 + lowest end;

comment on function backup._cron_number(text, integer, text[]) is 'A value in a cron field as a number.';

create or replace function backup._cron_has(
    -- without a problem
    field text,
    value integer,
    lowest integer,
    names text[]
)
    returns boolean
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_or(
        case when p.piece[1] is not null then (value - lowest) % coalesce(p.piece[4]::integer, 1) = 0
             else value between p.first and p.last and (value - p.first) % coalesce(p.piece[4]::integer, 1) = 0 end), false)
    from (
        select m.piece, backup._cron_number(m.piece[2], lowest, names)::integer as first,
               backup._cron_number(coalesce(m.piece[3], m.piece[2]), lowest, names)::integer as last
        from unnest(string_to_array(lower(field), ',')) i (item)
        cross join regexp_match(i.item, '^(?:(\*)|([0-9]+|[a-z]{3})(?:-([0-9]+|[a-z]{3}))?)(?:/([0-9]+))?$') m (piece)
    ) p
$$;

comment on function backup._cron_has(text, integer, integer, text[]) is 'Whether a cron field holds a value.';

create or replace function backup._cron_field_problem(
    -- such as 1-5,*/2 or mon
    field text,
    -- minute, hour, day of the month, month or day of the week
    what text,
    lowest integer,
    highest integer,
    -- how many values there are, which is the largest step
    size integer,
    -- lower case, the first stands for lowest; null: numbers alone
    names text[]
)
    -- what is wrong with it; null when nothing is
    returns text
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
declare
    item text;
    piece text[];
    first numeric;
    last numeric;
    step numeric;
begin
    foreach item in array string_to_array(lower(field), ',') loop
        piece := regexp_match(item, '^(?:(\*)|([0-9]+|[a-z]{3})(?:-([0-9]+|[a-z]{3}))?)(?:/([0-9]+))?$');
        -- A step needs something to step through.
        if piece is null or (piece[4] is not null and piece[1] is null and piece[3] is null) then
            return format('%L is no %s', item, what);
        end if;
        step := coalesce(piece[4]::numeric, 1);
        if step not between 1 and size then
            return format('the step of %L is not from 1 to %s', item, size);
        end if;
        continue when piece[1] is not null;
        first := backup._cron_number(piece[2], lowest, names);
        -- Sunday is 0, and 7 at the end of a range.
        last := case when piece[3] = 'sun' and names[1] = 'sun' then 7
            else backup._cron_number(coalesce(piece[3], piece[2]), lowest, names) end;
        if first is null or last is null then
            return format('%L is no %s', item, what);
        elsif first > last then
            return format('%L ends before it begins', item);
        -- What a step jumps over is never used.
        elsif first < lowest or first + div(last - first, step) * step > highest then
            return format('%L is not from %s to %s, as a %s', item, lowest, highest, what);
        end if;
    end loop;
    return null;
end
$$;

comment on function backup._cron_field_problem(text, text, integer, integer, integer, text[]) is
    'Why one field of a cron line cannot be used.';

create or replace function backup._cron_problem(
    -- minute, hour, day of the month, month, day of the week
    cron text
)
    -- what is wrong with it; null when nothing is. Agrees with the parser of the worker (test/sql/cron.test.ts).
    returns text
    language plpgsql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
declare
    fields text[] := regexp_split_to_array(btrim(cron, e' \t'), '[ \t]+');
    longest_days integer[] := array[31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    problem text;
begin
    if cron is null then
        return 'it is null';
    elsif length(cron) > 200 then
        return 'it is longer than 200 characters';
    elsif cron ~ '[^ \tA-Za-z0-9*,/-]' then
        return 'it holds a character that is none of letters, digits, blanks and * , - /';
    elsif cardinality(fields) <> 5 then
        return format('it has %s fields and not 5', case when btrim(cron, e' \t') = '' then 0 else cardinality(fields) end);
    end if;
    problem := coalesce(
        backup._cron_field_problem(fields[1], 'minute', 0, 59, 60, null),
        backup._cron_field_problem(fields[2], 'hour', 0, 23, 24, null),
        backup._cron_field_problem(fields[3], 'day of the month', 1, 31, 31, null),
        backup._cron_field_problem(fields[4], 'month', 1, 12, 12,
            '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'),
        backup._cron_field_problem(fields[5], 'day of the week', 0, 7, 7, '{sun,mon,tue,wed,thu,fri,sat}'));
    if problem is null and fields[5] = '*' and not exists (
        select from generate_series(1, 12) m (month) cross join generate_series(1, 31) d (day)
        where d.day <= longest_days[m.month]
          and backup._cron_has(fields[3], d.day, 1, null)
          and backup._cron_has(fields[4], m.month, 1, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}')) then
        problem := 'none of its months has such a day';
    end if;
    return problem;
end
$$;

comment on function backup._cron_problem(text) is 'Why a cron line cannot be used.';
