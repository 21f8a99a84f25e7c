create or replace function backup._knows_segment(
    system_identifier bigint,
    timeline integer,
    start_lsn pg_lsn,
    -- of the raw segment
    sha256 bytea
)
    -- false: it has no row yet
    returns boolean
    language plpgsql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    kept record;
begin
    if octet_length(sha256) is distinct from 32 then
        raise exception using
            errcode = 'PB001', message = 'a WAL segment is asked for by a SHA-256 of 32 bytes',
            hint = 'Pass the hash of the raw segment.';
    end if;

    select s.sha256, s.key, s.segment_bytes into kept from backup._wal_segment s
    where s.system_identifier = _knows_segment.system_identifier
      and s.timeline = _knows_segment.timeline
      and s.start_lsn = _knows_segment.start_lsn;
    if not found then
        return false;
    end if;
    if not backup._same_content(kept.sha256, _knows_segment.sha256) then
        raise exception using
            errcode = 'PB021',
            message = format('WAL segment %s was stored before with other content: %s, now %s',
                backup._segment_name(timeline, start_lsn, kept.segment_bytes), kept.key,
                left(encode(_knows_segment.sha256, 'hex'), 12)),
            hint = 'Two servers write the same timeline (split brain), or a restored copy still runs as the original. '
                   'Stop one of them; the segment that is here now was not stored.';
    end if;
    return true;
end
$$;

comment on function backup._knows_segment(bigint, integer, pg_lsn, bytea) is
    'Whether a WAL segment is recorded with this content. Another content raises PB021.';

create or replace function backup._knows_timeline(
    system_identifier bigint,
    timeline integer,
    -- text of the .history file
    history text
)
    -- false: it has no row yet
    returns boolean
    language plpgsql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    kept text;
begin
    select t.history into kept from backup._timeline t
    where t.system_identifier = _knows_timeline.system_identifier and t.timeline = _knows_timeline.timeline;
    if not found then
        return false;
    end if;
    if kept is distinct from _knows_timeline.history then
        raise exception using
            errcode = 'PB021',
            message = format('the history of timeline %s was stored before with other content', timeline),
            hint = 'Two servers were promoted to the same timeline (split brain). '
                   'Stop one of them; the file that is here now was not stored.';
    end if;
    return true;
end
$$;

comment on function backup._knows_timeline(bigint, integer, text) is
    'Whether a timeline is recorded with this history. Another one raises PB021.';
