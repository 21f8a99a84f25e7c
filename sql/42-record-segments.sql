create or replace function backup._record_segments(
    -- as pg_control has it, in 64 bits
    system_identifier bigint,
    -- array of {timeline, start_lsn, segment_bytes, key, bytes, sha256 (raw, hex), last_commit_at or null}
    segments jsonb
)
    -- low 32 bits of the transaction id, as WAL records carry it: so the worker knows its own WAL when it
    -- reads it back, and an idle server settles. Null when all was known and nothing was written.
    returns text
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    run record;
begin
    -- Two sessions that extend one range must do so in turn; a table lock would chase autovacuum away.
    perform pg_advisory_xact_lock(x'77706f7374626f78'::bigint);
    perform backup._check_segments(system_identifier, segments);

    insert into backup._wal_segment
        (system_identifier, timeline, start_lsn, segment_bytes, bytes, sha256, last_commit_at, key)
    select _record_segments.system_identifier, (e.item ->> 'timeline')::integer, (e.item ->> 'start_lsn')::pg_lsn,
           (e.item ->> 'segment_bytes')::integer, (e.item ->> 'bytes')::bigint, decode(e.item ->> 'sha256', 'hex'),
           (e.item ->> 'last_commit_at')::timestamptz, e.item ->> 'key'
    from jsonb_array_elements(segments) e (item)
    on conflict on constraint wal_segment_pk do nothing;

    -- The segments given, as gapless runs: most calls have one, which extends the newest range.
    for run in
        with given as (
            select (e.item ->> 'timeline')::integer as timeline,
                   backup.lsn_range((e.item ->> 'start_lsn')::pg_lsn,
                       (e.item ->> 'start_lsn')::pg_lsn + (e.item ->> 'segment_bytes')::numeric) as lsns,
                   (e.item ->> 'last_commit_at')::timestamptz as last_commit_at
            from jsonb_array_elements(segments) e (item)
        ), runs as (
            select u.timeline, unnest(u.lsns) as lsns
            from (select g.timeline, range_agg(g.lsns) as lsns from given g group by g.timeline) u
        )
        select r.timeline, r.lsns, max(g.last_commit_at) as last_commit_at
        from runs r
        join given g on g.timeline = r.timeline and g.lsns <@ r.lsns
        group by r.timeline, r.lsns
    loop
        perform backup._merge_range(system_identifier, run.timeline, run.lsns, run.last_commit_at);
    end loop;

    return pg_current_xact_id_if_assigned()::text::numeric % 4294967296;
end
$$;

comment on function backup._record_segments(bigint, jsonb) is
    'Note stored WAL segments. The same one again is nothing new; another content raises PB021 and nothing is kept.';

create or replace function backup._covers_wal(
    system_identifier bigint,
    timeline integer,
    from_lsn pg_lsn,
    to_lsn pg_lsn
)
    returns boolean
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    -- Compared by its ends: an empty range lies in every other.
    select from_lsn <= to_lsn and exists (
        select from backup._wal_range r
        where r.system_identifier = _covers_wal.system_identifier
          and r.timeline = _covers_wal.timeline
          and lower(r.lsns) <= from_lsn
          and upper(r.lsns) >= to_lsn
    )
$$;

comment on function backup._covers_wal(bigint, integer, pg_lsn, pg_lsn) is
    'Whether the WAL of a timeline is stored without a gap between two LSNs.';

create or replace function backup._written_by(
    system_identifier bigint,
    timeline integer,
    lsn pg_lsn
)
    -- when the segment that ends at the LSN, or holds it, was stored; null when it has no row
    returns timestamptz
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select s.stored_at
    from backup._wal_segment s
    where s.system_identifier = _written_by.system_identifier
      and s.timeline = _written_by.timeline
      and s.start_lsn >= lsn - pg_size_bytes(current_setting('wal_segment_size'))::numeric
    order by s.start_lsn
    limit 1
$$;

comment on function backup._written_by(bigint, integer, pg_lsn) is
    'A moment at which all WAL of a timeline before an LSN had been written.';

create or replace function backup._finish_segment(
    lsn pg_lsn
)
    -- whether the segment that ends at the LSN, or holds it, is whole now; false: it gets whole when enough is written
    returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    segment_bytes numeric := pg_size_bytes(current_setting('wal_segment_size'));
    over numeric := (lsn - '0/0'::pg_lsn) % segment_bytes;
begin
    if lsn is null then
        raise exception using errcode = 'PB001', message = 'no LSN was given', hint = 'Pass the end of the backup.';
    end if;
    if over = 0 or pg_current_wal_lsn() >= lsn + (segment_bytes - over) then
        return true;
    elsif not has_function_privilege('pg_switch_wal()', 'execute') then
        return false;
    end if;
    perform pg_switch_wal();
    return true;
end
$$;

comment on function backup._finish_segment(pg_lsn) is
    'Let the WAL go on in the next segment, unless it does already, so that a base backup of a standby can be whole.';

create or replace function backup._record_timeline(
    system_identifier bigint,
    timeline integer,
    -- text of the .history file
    history text,
    key text
)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    last_line text[];
    kept text;
begin
    -- The last line that is no comment names the parent and where it was left.
    select regexp_match(l.line, '^\s*([1-9][0-9]{0,8})\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})(\s|$)') into last_line
    from regexp_split_to_table(history, '\r?\n') with ordinality l (line, n)
    where l.line !~ '^\s*(#|$)'
    order by l.n desc
    limit 1;
    if system_identifier is null or timeline is null or nullif(key, '') is null
       or last_line is null or last_line[1]::integer >= timeline then
        raise exception using
            errcode = 'PB001',
            message = format('this is not the history of timeline %s', coalesce(timeline::text, 'null')),
            hint = 'Its last line names an earlier timeline and the LSN where it was left.';
    end if;

    select t.history into kept from backup._timeline t
    where t.system_identifier = _record_timeline.system_identifier and t.timeline = _record_timeline.timeline;
    if not found then
        insert into backup._timeline (system_identifier, timeline, parent_timeline, switch_lsn, history, key)
        values (_record_timeline.system_identifier, _record_timeline.timeline, last_line[1]::integer,
                last_line[2]::pg_lsn, _record_timeline.history, _record_timeline.key);
    elsif kept <> _record_timeline.history then
        raise exception using
            errcode = 'PB021',
            message = format('the history of timeline %s was stored before with other content', timeline),
            hint = 'Two servers were promoted to the same timeline (split brain). '
                   'Stop one of them; both objects are kept.';
    end if;
end
$$;

comment on function backup._record_timeline(bigint, integer, text, text) is
    'Note a stored timeline history. The same one again is nothing new; another content raises PB021.';
