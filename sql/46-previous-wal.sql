create or replace function backup._previous_mark(
    system_identifier bigint,
    timeline integer,
    -- where the segment begins that is to be named
    start_lsn pg_lsn,
    segment_bytes integer
)
    -- 12 hex digits that tell what the segment follows, as FORMAT.md has it; null: not known
    returns text
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    with recursive line as (
        select 0 as steps, _previous_mark.timeline as timeline
        union all
        -- A timeline has no segment of its own before the one that it began in.
        select l.steps + 1, t.parent_timeline
        from line l
        join backup._timeline t
            on t.system_identifier = _previous_mark.system_identifier and t.timeline = l.timeline
        where t.switch_lsn >= _previous_mark.start_lsn
    ), writer as (
        select l.timeline from line l order by l.steps desc limit 1
    ), before as (
        select left(encode(s.sha256, 'hex'), 12) as mark
        from writer w
        join backup._wal_segment s
            on s.system_identifier = _previous_mark.system_identifier and s.timeline = w.timeline
            and s.start_lsn = _previous_mark.start_lsn - _previous_mark.segment_bytes::numeric
        where _previous_mark.start_lsn >= '0/0'::pg_lsn + _previous_mark.segment_bytes::numeric
    )
    select case
        when w.timeline = _previous_mark.timeline then (select b.mark from before b)
        -- The key of a history ends in its mark.
        else left(encode(sha256(convert_to(
            concat((select b.mark from before b), right(own.key, 12)), 'UTF8')), 'hex'), 12) end
    from writer w
    left join backup._timeline own
        on own.system_identifier = _previous_mark.system_identifier and own.timeline = _previous_mark.timeline
$$;

comment on function backup._previous_mark(bigint, integer, pg_lsn, integer) is
    'What a WAL segment follows: the mark of the one before it and, where a timeline begins, of its history.';

create or replace function backup._segment_key(
    system_identifier bigint,
    timeline integer,
    start_lsn pg_lsn
)
    -- null when it has no row
    returns text
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select s.key from backup._wal_segment s
    where s.system_identifier = _segment_key.system_identifier
      and s.timeline = _segment_key.timeline
      and s.start_lsn = _segment_key.start_lsn
$$;

comment on function backup._segment_key(bigint, integer, pg_lsn) is 'Where a stored WAL segment lies in the box.';
