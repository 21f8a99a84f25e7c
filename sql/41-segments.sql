create or replace function backup._segment_name(
    timeline integer,
    start_lsn pg_lsn,
    segment_bytes integer
)
    -- as in pg_wal
    returns text
    language sql
    immutable parallel safe
    set search_path = pg_catalog, pg_temp
return upper(
    lpad(to_hex(timeline), 8, '0')
    || lpad(to_hex(((start_lsn - '0/0'::pg_lsn)::bigint >> 32)), 8, '0')
    || lpad(to_hex(((start_lsn - '0/0'::pg_lsn)::bigint & x'ffffffff'::bigint) / segment_bytes), 8, '0'));

comment on function backup._segment_name(integer, pg_lsn, integer) is 'Name of a WAL segment.';

create or replace function backup._is_segment(
    item jsonb
)
    -- whether it describes one stored segment whole
    returns boolean
    language sql
    immutable parallel safe
    set search_path = pg_catalog, pg_temp
return coalesce(
    jsonb_typeof(item) = 'object'
    and item ->> 'timeline' ~ '^[1-9][0-9]{0,8}$'
    -- A power of two from 1 MiB to 1 GiB, as initdb takes it.
    and item ->> 'segment_bytes' in (select (1048576::bigint << n)::text from generate_series(0, 10) n)
    and item ->> 'bytes' ~ '^[1-9][0-9]{0,17}$'
    and item ->> 'sha256' ~ '^[0-9a-f]{64}$'
    and item ->> 'key' <> ''
    and coalesce(item ->> 'last_commit_at', '2000-01-01T00:00:00Z') ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$'
    -- Only cast what has the right form.
    and case when item ->> 'start_lsn' ~* '^[0-9A-F]{1,8}/[0-9A-F]{1,8}$' and item ->> 'segment_bytes' ~ '^[0-9]{7,10}$'
        then ((item ->> 'start_lsn')::pg_lsn - '0/0'::pg_lsn) % (item ->> 'segment_bytes')::numeric = 0 end,
    false);

comment on function backup._is_segment(jsonb) is 'Whether a described segment can be recorded.';

create or replace function backup._same_content(
    -- SHA-256 of raw segments, whole, or the six bytes that a key says
    one bytea,
    other bytea
)
    -- compared as far as both are known
    returns boolean
    language sql
    immutable strict parallel safe
    set search_path = pg_catalog, pg_temp
return substring(one, 1, octet_length(other)) = substring(other, 1, octet_length(one));

comment on function backup._same_content(bytea, bytea) is
    'Whether two hashes are of the same segment. Keys tell contents apart by six bytes, and a rebuilt row knows no more.';

create or replace function backup._check_segments(
    system_identifier bigint,
    segments jsonb
)
    returns void
    language plpgsql
    stable
    set search_path = pg_catalog, pg_temp
as $$
declare
    item jsonb;
    other record;
begin
    if system_identifier is null or segments is null or jsonb_typeof(segments) <> 'array' then
        raise exception using
            errcode = 'PB001', message = 'WAL segments come as a system identifier and a JSON array',
            hint = 'Pass the segments as [{...}, {...}], even if it is one.';
    end if;

    for item in select e.item from jsonb_array_elements(segments) e (item) loop
        if not backup._is_segment(item) then
            raise exception using
                errcode = 'PB001',
                message = format('this is not a stored WAL segment: %s', item),
                hint = 'It needs a timeline, an aligned start_lsn, segment_bytes, key, bytes, sha256 in hex '
                       'and last_commit_at or null.';
        end if;
    end loop;

    -- Within the array as well as against what was stored before.
    with given as (
        select (e.item ->> 'timeline')::integer as timeline, (e.item ->> 'start_lsn')::pg_lsn as start_lsn,
               (e.item ->> 'segment_bytes')::integer as segment_bytes, decode(e.item ->> 'sha256', 'hex') as sha256,
               e.item ->> 'key' as key
        from jsonb_array_elements(segments) e (item)
    ), known as (
        select g.timeline, g.start_lsn, g.sha256, g.key from given g
        union all
        select s.timeline, s.start_lsn, s.sha256, s.key
        from given g
        join backup._wal_segment s on s.system_identifier = _check_segments.system_identifier
            and s.timeline = g.timeline and s.start_lsn = g.start_lsn
    )
    select backup._segment_name(g.timeline, g.start_lsn, g.segment_bytes) as name, k.key as first_key,
           g.key as second_key
    into other
    from given g
    join known k on k.timeline = g.timeline and k.start_lsn = g.start_lsn
        and not backup._same_content(k.sha256, g.sha256)
    limit 1;
    if found then
        raise exception using
            errcode = 'PB021',
            message = format('WAL segment %s was stored before with other content: %s, now %s',
                other.name, other.first_key, other.second_key),
            hint = 'Two servers write the same timeline (split brain), or a restored copy still runs as the original. '
                   'Stop one of them; both objects are kept.';
    end if;
end
$$;

comment on function backup._check_segments(bigint, jsonb) is
    'Refuse segments that are described badly (PB001) or were stored before with other content (PB021).';

create or replace function backup._merge_range(
    system_identifier bigint,
    timeline integer,
    fresh backup.lsn_range,
    last_commit_at timestamptz
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    range_ids bigint[];
    merged backup.lsn_range := fresh;
    newest timestamptz := last_commit_at;
    known boolean;
begin
    -- What touches it becomes one range with it.
    select array_agg(r.range_id order by r.range_id),
           range_merge(coalesce(range_agg(r.lsns), '{}') + backup.lsn_multirange(fresh)),
           greatest(max(r.last_commit_at), _merge_range.last_commit_at),
           bool_or(r.lsns @> fresh)
               and max(r.last_commit_at)
                   is not distinct from greatest(max(r.last_commit_at), _merge_range.last_commit_at)
    into range_ids, merged, newest, known
    from backup._wal_range r
    where r.system_identifier = _merge_range.system_identifier
      and r.timeline = _merge_range.timeline
      and (r.lsns && fresh or r.lsns -|- fresh);

    if known then
        return;
    end if;
    if range_ids is null then
        insert into backup._wal_range (system_identifier, timeline, lsns, last_commit_at)
        values (_merge_range.system_identifier, _merge_range.timeline, fresh, _merge_range.last_commit_at);
        return;
    end if;
    delete from backup._wal_range r where r.range_id = any (range_ids[2:]);
    update backup._wal_range r set lsns = merged, last_commit_at = newest where r.range_id = range_ids[1];
end
$$;

comment on function backup._merge_range(bigint, integer, backup.lsn_range, timestamptz) is
    'Add a run of stored WAL to the ranges of its timeline.';
