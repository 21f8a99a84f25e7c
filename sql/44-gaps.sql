create or replace function backup._missing_before(
    system_identifier bigint,
    timeline integer,
    -- where the stored WAL is to go on
    lsn pg_lsn
)
    -- What lies between it and the end of the WAL stored before it: on its timeline, and while nothing is stored of
    -- that, on the one that it left. No row: nothing is missing, or nothing was ever stored.
    returns table (on_timeline integer, from_lsn pg_lsn, to_lsn pg_lsn)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    with recursive line as (
        select _missing_before.timeline as timeline, lsn as to_lsn, (
                   select max(upper(r.lsns)) from backup._wal_range r
                   where r.system_identifier = _missing_before.system_identifier
                     and r.timeline = _missing_before.timeline and lower(r.lsns) < lsn
               ) as stored_to
        union all
        select t.parent_timeline, least(t.switch_lsn, l.to_lsn), (
                   select max(upper(r.lsns)) from backup._wal_range r
                   where r.system_identifier = _missing_before.system_identifier
                     and r.timeline = t.parent_timeline and lower(r.lsns) < least(t.switch_lsn, l.to_lsn)
               )
        from line l
        join backup._timeline t
            on t.system_identifier = _missing_before.system_identifier and t.timeline = l.timeline
        where l.stored_to is null
    )
    select l.timeline, coalesce(l.stored_to, t.switch_lsn), l.to_lsn
    from line l
    left join backup._timeline t
        on t.system_identifier = _missing_before.system_identifier and t.timeline = l.timeline
    where coalesce(l.stored_to, t.switch_lsn) < l.to_lsn
      and exists (select from line known where known.stored_to is not null)
$$;

comment on function backup._missing_before(bigint, integer, pg_lsn) is
    'The gap that is left when WAL is stored again from an LSN on.';

create or replace function backup._missing_between(
    system_identifier bigint
)
    -- What is missing between what is stored, by the rows alone, and where WAL is stored again. One gap over a switch of
    -- timelines is a row on each.
    returns table (on_timeline integer, from_lsn pg_lsn, to_lsn pg_lsn, again_on integer, again_from pg_lsn)
    language sql
    stable
    set search_path = pg_catalog, pg_temp
as $$
    select h.timeline, h.from_lsn, h.to_lsn, h.timeline, h.to_lsn
    from (
        select r.timeline, upper(r.lsns) as from_lsn,
               lead(lower(r.lsns)) over (partition by r.timeline order by r.lsns) as to_lsn
        from backup._wal_range r
        where r.system_identifier = _missing_between.system_identifier
    ) h
    where h.to_lsn is not null
    union all
    -- Before the first of a timeline: there, and at the end of the one that it left.
    select m.on_timeline, m.from_lsn, m.to_lsn, f.timeline, f.from_lsn
    from (
        select r.timeline, min(lower(r.lsns)) as from_lsn
        from backup._wal_range r
        where r.system_identifier = _missing_between.system_identifier
        group by r.timeline
    ) f
    cross join lateral backup._missing_before(_missing_between.system_identifier, f.timeline, f.from_lsn) m
$$;

comment on function backup._missing_between(bigint) is 'Gaps within timelines, and where one goes over into the next.';

create or replace function backup._wal_holes(
    system_identifier bigint,
    -- the one that is streamed, and how far it needs no looking after
    timeline integer,
    before_lsn pg_lsn
)
    -- WAL that is missing between what is stored, by the rows alone, and that the worker has not found yet; in order.
    returns table (on_timeline integer, from_lsn pg_lsn, to_lsn pg_lsn)
    language sql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
    select distinct h.on_timeline, h.from_lsn, h.to_lsn
    from backup._missing_between(_wal_holes.system_identifier) h
    where (h.on_timeline <> _wal_holes.timeline or h.from_lsn < before_lsn)
      -- Of no use without a base backup before it.
      and h.to_lsn > (select min(b.start_lsn) from backup._base_backup b
                      where b.system_identifier = _wal_holes.system_identifier)
      and not exists (
          select from backup._wal_gap g
          where g.system_identifier = _wal_holes.system_identifier and g.timeline = h.on_timeline
            and g.from_lsn <= h.from_lsn and g.to_lsn >= h.to_lsn
      )
    order by h.on_timeline, h.from_lsn, h.to_lsn
$$;

comment on function backup._wal_holes(bigint, integer, pg_lsn) is 'Gaps that nobody has found yet but the rows.';

create or replace function backup._start_base_after_gap(
    system_identifier bigint,
    -- the one that goes on after the gap
    timeline integer,
    -- end of the gap
    lsn pg_lsn,
    reason text,
    -- whether a base backup that runs now begins after the gap
    running_begins_after boolean
)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
as $$
declare
    -- A gap that the server has left behind it, by a restore or a failover, no base backup of the server closes.
    line_of integer := case when system_identifier = (select c.system_identifier from pg_control_system() c)
        then greatest(timeline, backup._server_timeline()) else timeline end;
begin
    if backup._setting_value('base_after_gap') <> 'on' then
        return;
    end if;
    -- A server that never was backed up loses nothing by a gap, and is not backed up unasked.
    -- One that was taken after it, when it was found late, has closed it already.
    if not exists (
        select from backup._bases_on_line(system_identifier, line_of) b
        having min(b.start_lsn) < lsn and max(b.start_lsn) < lsn
    ) or not exists (
        select from backup._line(system_identifier, line_of) l
        where l.on_timeline = _start_base_after_gap.timeline and (l.to_lsn is null or lsn <= l.to_lsn)
    ) then
        return;
    end if;
    -- What waits in the queue begins after the gap in any case.
    if exists (
        select from backup._job j
        where j.kind = 'base' and (j.state = 'queued' or (j.state = 'running' and running_begins_after))
    ) then
        return;
    end if;
    perform backup.start_base(left('after a gap in the WAL: ' || reason, 200));
end
$$;

comment on function backup._start_base_after_gap(bigint, integer, pg_lsn, text, boolean) is
    'Queue the base backup that recovery past a gap needs, unless one is on its way or base_after_gap is off.';

create or replace function backup._resume_base_after_gap(system_identifier bigint)
    returns void
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    gap backup._wal_gap;
begin
    select g.* into gap
    from backup._wal_gap g
    where g.system_identifier = _resume_base_after_gap.system_identifier
    order by g.timeline desc, g.to_lsn desc
    limit 1;
    -- What people have canceled since, or begun by themselves, is theirs.
    if found and 'failed' = (select j.state from backup._job j where j.kind = 'base' order by j.job_id desc limit 1) then
        perform backup._start_base_after_gap(system_identifier, gap.timeline, gap.to_lsn, gap.reason, true);
    end if;
end
$$;

comment on function backup._resume_base_after_gap(bigint) is
    'Queue the base backup after the newest gap once more, if it failed: the box takes something again.';

create or replace function backup._record_gap(
    system_identifier bigint,
    timeline integer,
    -- where WAL is stored again from
    to_lsn pg_lsn,
    -- for people: what was lost, and how
    reason text,
    -- whether a base backup that runs now begins after the gap
    running_begins_after boolean
)
    -- where the gap begins; null when there is none or it was known
    returns pg_lsn
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    missing record;
    found_from pg_lsn;
begin
    if system_identifier is null or timeline is null or timeline < 1 or to_lsn is null
       or nullif(reason, '') is null or reason ~ '[[:cntrl:]]' or running_begins_after is null then
        raise exception using
            errcode = 'PB001',
            message = 'a gap is not described whole',
            hint = 'It needs a system identifier, a timeline, the LSN of its end, a reason of one line, and whether '
                   'the base backup that runs begins after it.';
    end if;
    -- In turn with whoever records segments, which may fill it.
    perform pg_advisory_xact_lock(x'77706f7374626f78'::bigint);

    for missing in
        select m.on_timeline, m.from_lsn, m.to_lsn
        from backup._missing_before(_record_gap.system_identifier, _record_gap.timeline, _record_gap.to_lsn) m
        where not exists (
            select from backup._wal_gap g
            where g.system_identifier = _record_gap.system_identifier and g.timeline = m.on_timeline
              and g.from_lsn <= m.from_lsn and g.to_lsn >= m.to_lsn
        )
    loop
        insert into backup._wal_gap as g (system_identifier, timeline, from_lsn, to_lsn, reason)
        values (_record_gap.system_identifier, missing.on_timeline, missing.from_lsn, missing.to_lsn,
                _record_gap.reason)
        on conflict on constraint wal_gap_pk do update set to_lsn = excluded.to_lsn, reason = excluded.reason;
        found_from := least(found_from, missing.from_lsn);
    end loop;

    if found_from is not null then
        perform pg_notify('postbox', 'gap');
        perform backup._start_base_after_gap(system_identifier, timeline, to_lsn, reason, running_begins_after);
    end if;
    return found_from;
end
$$;

comment on function backup._record_gap(bigint, integer, pg_lsn, text, boolean) is
    'Note that WAL goes on at an LSN and what is not stored before it is lost: shown in backup.wal_gaps at once, '
    'notified, and followed by a base backup. The same gap again is nothing new.';
