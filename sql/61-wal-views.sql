create or replace view backup.wal_coverage as
select r.system_identifier, r.timeline, lower(r.lsns) as from_lsn, upper(r.lsns) as to_lsn,
       (upper(r.lsns) - lower(r.lsns))::bigint as bytes, r.last_commit_at
from backup._wal_range r;

comment on view backup.wal_coverage is 'WAL that is stored without a gap, one row per range.';
comment on column backup.wal_coverage.system_identifier is
    'As pg_control_system() shows it; another one is another cluster.';
comment on column backup.wal_coverage.timeline is 'Timeline of the range.';
comment on column backup.wal_coverage.from_lsn is 'First byte that is stored.';
comment on column backup.wal_coverage.to_lsn is 'First byte that is not.';
comment on column backup.wal_coverage.bytes is 'Length of the range before compression.';
comment on column backup.wal_coverage.last_commit_at is 'Newest commit or abort in the range.';

-- Each timeline should be stored whole: from its first range, base backup or beginning to its last range or to where
-- the next timeline takes over. WAL before the oldest base backup is of no use, so its gaps are none.
create or replace view backup.wal_gaps as
with oldest as (
    select b.system_identifier, min(b.start_lsn) as start_lsn from backup._base_backup b group by b.system_identifier
), known as (
    select r.system_identifier, r.timeline, min(lower(r.lsns)) as from_lsn, max(upper(r.lsns)) as to_lsn,
           range_agg(r.lsns) as lsns
    from backup._wal_range r
    group by r.system_identifier, r.timeline
), wanted as (
    select k.system_identifier, k.timeline, k.from_lsn, k.to_lsn from known k
    union all
    select b.system_identifier, b.timeline, min(b.start_lsn), max(b.stop_lsn)
    from backup._base_backup b group by b.system_identifier, b.timeline
    union all
    select t.system_identifier, t.timeline, t.switch_lsn, t.switch_lsn
    from backup._timeline t join known k on k.system_identifier = t.system_identifier and k.timeline = t.timeline
    union all
    -- The child's first segment repeats what its parent wrote of it.
    select t.system_identifier, t.parent_timeline, least(t.switch_lsn, k.from_lsn), least(t.switch_lsn, k.from_lsn)
    from backup._timeline t join known k on k.system_identifier = t.system_identifier and k.timeline = t.timeline
    where exists (
        select from known p where p.system_identifier = t.system_identifier and p.timeline = t.parent_timeline)
    union all
    -- Found by the worker before anything is stored behind it.
    select f.system_identifier, f.timeline, f.from_lsn, f.to_lsn from backup._wal_gap f
), span as (
    select w.system_identifier, w.timeline, min(w.from_lsn) as from_lsn, max(w.to_lsn) as to_lsn
    from wanted w group by w.system_identifier, w.timeline
), gap as (
    select s.system_identifier, s.timeline,
           unnest(backup.lsn_multirange(backup.lsn_range(
                      greatest(s.from_lsn, o.start_lsn), greatest(s.to_lsn, greatest(s.from_lsn, o.start_lsn))))
                  - coalesce(k.lsns, '{}')) as lsns
    from span s
    left join oldest o on o.system_identifier = s.system_identifier
    left join known k on k.system_identifier = s.system_identifier and k.timeline = s.timeline
)
select g.system_identifier, g.timeline, lower(g.lsns) as from_lsn, upper(g.lsns) as to_lsn,
       (upper(g.lsns) - lower(g.lsns))::bigint as bytes, found.reason, found.found_at
from gap g
left join lateral (
    select f.reason, f.found_at
    from backup._wal_gap f
    where f.system_identifier = g.system_identifier and f.timeline = g.timeline
      and f.from_lsn < upper(g.lsns) and f.to_lsn > lower(g.lsns)
    order by f.found_at
    limit 1
) found on true;

comment on view backup.wal_gaps is
    'WAL that is missing between what is stored. No recovery gets past a gap: take a new base backup after it.';
comment on column backup.wal_gaps.system_identifier is
    'As pg_control_system() shows it; another one is another cluster.';
comment on column backup.wal_gaps.timeline is 'Timeline of the gap.';
comment on column backup.wal_gaps.from_lsn is 'First byte that is missing.';
comment on column backup.wal_gaps.to_lsn is 'First byte that is stored again.';
comment on column backup.wal_gaps.bytes is 'Length of the gap.';
comment on column backup.wal_gaps.reason is 'How it was lost, as far as the worker knows; null when it does not.';
comment on column backup.wal_gaps.found_at is 'When the worker found it; null when it did not.';
