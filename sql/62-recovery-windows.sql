-- Followed from range to range, of which there are few, and only then joined with the backups, of which there are many.
create or replace view backup.recovery_windows as
with recursive line as (
    -- Each timeline with each of its ancestors, and where that one was left.
    select t.system_identifier, t.timeline, t.switch_lsn as began_at, t.parent_timeline as ancestor,
           t.switch_lsn as left_at
    from backup._timeline t
    union
    select l.system_identifier, l.timeline, l.began_at, t.parent_timeline, least(t.switch_lsn, l.left_at)
    from line l
    join backup._timeline t on t.system_identifier = l.system_identifier and t.timeline = l.ancestor
), reach as (
    select r.system_identifier, r.timeline as root_timeline, r.lsns as root, null::pg_lsn as left_at,
           r.timeline, r.lsns, r.last_commit_at as newest_commit_at, null::timestamptz as entry_commit_at
    from backup._wal_range r
    union
    -- On to a timeline that goes on from this range without a gap. It need not be a child: one that was left in the
    -- segment in which it began has no whole segment of its own.
    select p.system_identifier, p.root_timeline, p.root, coalesce(p.left_at, t.left_at),
           t.timeline, c.lsns, c.last_commit_at, coalesce(before.last_commit_at, p.entry_commit_at)
    from reach p
    join line t
        on t.system_identifier = p.system_identifier and t.ancestor = p.timeline and t.left_at >= lower(p.lsns)
    join backup._wal_range c
        on c.system_identifier = t.system_identifier and c.timeline = t.timeline
        and lower(c.lsns) <= least(t.left_at, upper(p.lsns)) and upper(c.lsns) >= t.began_at
    left join lateral (
        select s.last_commit_at
        from backup._wal_segment s
        where s.system_identifier = p.system_identifier and s.timeline = p.timeline and s.last_commit_at is not null
          and s.start_lsn >= lower(p.lsns) and s.start_lsn <= t.left_at - s.segment_bytes::numeric
          and s.start_lsn < upper(p.lsns)
        order by s.start_lsn desc
        limit 1
    ) before on true
)
select distinct b.backup_id, r.timeline, b.stop_lsn as from_lsn, upper(r.lsns) as to_lsn, b.stopped_at as from_at,
       case when coalesce(r.newest_commit_at, r.entry_commit_at) >= b.stopped_at
           then coalesce(r.newest_commit_at, r.entry_commit_at) end as to_at
from backup._base_backup b
join reach r
    on r.system_identifier = b.system_identifier and r.root_timeline = b.timeline
    and lower(r.root) <= b.start_lsn
    -- The base backup itself must be whole on the way there.
    and coalesce(r.left_at, upper(r.root)) >= b.stop_lsn;

comment on view backup.recovery_windows is
    'What can be restored: from the end of each base backup to the end of the WAL stored after it without a gap, '
    'on its own timeline and on each that branched off.';
comment on column backup.recovery_windows.backup_id is 'The base backup that recovery begins with.';
comment on column backup.recovery_windows.timeline is 'The timeline that recovery ends on.';
comment on column backup.recovery_windows.from_lsn is 'The earliest LSN that can be restored to.';
comment on column backup.recovery_windows.to_lsn is 'The WAL ends here.';
comment on column backup.recovery_windows.from_at is 'The earliest time that can be restored to.';
comment on column backup.recovery_windows.to_at is
    'The last commit that is stored, the latest time that can be restored to; null while none came since.';

create or replace function backup.can_restore_to(
    -- in the past
    at timestamptz
)
    -- whether a base backup and the WAL from it to that time are stored; read from rows alone
    returns boolean
    language plpgsql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if at is null then
        raise exception using
            errcode = 'PB001', message = 'no time was given',
            hint = 'Pass the time to restore to, such as now() - interval ''1 hour''.';
    end if;
    return exists (select from backup.recovery_windows w where w.from_at <= at and at <= w.to_at);
end
$$;

comment on function backup.can_restore_to(timestamptz) is
    'Whether the server can be restored to a time, on any timeline, as far as this database knows.';
