create or replace function backup._stored_wal(
    -- what was stored before is of no interest
    since timestamptz,
    -- segments are read, the newest first: with a million of them nobody wants to wait
    at_most integer
)
    -- WAL by the minute in which it was stored, before compression; when `segments` add up to at_most, older ones are missing
    returns table (minute_at timestamptz, bytes bigint, segments integer)
    language sql
    stable
    security definer
    rows 1440
    set search_path = pg_catalog, pg_temp
as $$
    select date_trunc('minute', s.stored_at), sum(s.segment_bytes), count(*)::integer
    from (
        select s.stored_at, s.segment_bytes from backup._wal_segment s
        order by s.system_identifier desc, s.timeline desc, s.start_lsn desc
        limit _stored_wal.at_most
    ) s
    where s.stored_at >= _stored_wal.since
    group by 1
    order by 1
$$;

comment on function backup._stored_wal(timestamptz, integer) is
    'How much WAL was stored in each minute, for a worker that has just begun and shows it.';
