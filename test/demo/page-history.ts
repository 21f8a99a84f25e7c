import type { SandboxPostgres } from '../sandbox/postgres.js'

/** In the history a segment has 16 MiB; on the server 1 MiB, so that it is made quickly. */
const SHOWN_SEGMENT_BYTES = 16 * 1024 * 1024
const SWITCHES = 760

/** Moves the server's WAL on, as if it had run for weeks. */
export async function moveOn(postgres: SandboxPostgres): Promise<void> {
  await postgres.query(`do $$ begin for i in 1..${SWITCHES} loop
    perform pg_logical_emit_message(false, 'page', 'x'); perform pg_switch_wal(); end loop; end $$`)
}

/**
 * Two weeks of a shop: a base backup each night, dumps at noon, WAL that was lost for some hours a week ago, drills, and
 * more to write by day than by night. All rows say what rows of a real server would.
 */
export async function fillHistory(postgres: SandboxPostgres): Promise<void> {
  await postgres.query(`
    truncate backup._wal_range, backup._wal_segment, backup._wal_gap;
    insert into backup._wal_range (system_identifier, timeline, lsns, last_commit_at)
    select s.system_identifier, 1, backup.lsn_range(r.from_lsn::pg_lsn, r.to_lsn), r.at
    from pg_control_system() s, lateral (values
      ('0/2000000', '0/12000000'::pg_lsn, now() - interval '6 days 21 hours'),
      ('0/14000000', '0/0'::pg_lsn + (pg_current_wal_lsn() - '0/0' - (pg_current_wal_lsn() - '0/0') % 1048576),
       now() - interval '2 seconds')) r (from_lsn, to_lsn, at);
    insert into backup._wal_gap (system_identifier, timeline, from_lsn, to_lsn, reason, found_at)
    select s.system_identifier, 1, '0/12000000', '0/14000000', 'the replication slot postbox was dropped',
           now() - interval '6 days 14 hours'
    from pg_control_system() s;
    insert into backup._job (kind, state, target, started_at, ended_at, bytes_done)
    select 'base', 'done', '{}', now(), now(), 0 from generate_series(1, 14);
    insert into backup._job (kind, state, target, started_at, ended_at, bytes_done)
    select 'dump', 'done', '{}', now(), now(), 0 from generate_series(1, 12);
  `)
  await postgres.query(`
    with night as (
      select n, date_trunc('day', now()) - make_interval(days => 13 - n) + interval '2 hours 30 minutes' as at,
             case when n < 7 then '0/2000000'::pg_lsn + n * 36000000::numeric
                  else '0/14000000'::pg_lsn + (n - 7) * 25000000::numeric end as lsn
      from generate_series(0, 13) n
      where date_trunc('day', now()) - make_interval(days => 13 - n) + interval '2 hours 40 minutes' < now()
    )
    insert into backup._base_backup
    select to_char(at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || substr(md5(n::text), 1, 4), n + 1 + (
             select min(j.job_id) - 1 from backup._job j where j.kind = 'base'),
           case when n = 10 then 'before the upgrade to 4.2' end, s.system_identifier, 1, lsn, lsn + 1048576::numeric, at,
           at + make_interval(secs => 205 + n * 3 + (n * 37) % 11), 41300000000 + n * 320000000::bigint,
           13900000000 + n * 105000000::bigint, 420 + n * 3, 'key/' || n, sha256('x'), 180004
    from night cross join pg_control_system() s
  `)
  await postgres.query(`
    with noon as (
      select n, date_trunc('day', now()) - make_interval(days => 12 - n) + interval '12 hours' as at
      from generate_series(0, 11) n
    )
    insert into backup._dump
    select to_char(at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || substr(md5('d' || n), 1, 4), n + (
             select min(j.job_id) from backup._job j where j.kind = 'dump'),
           case when n = 11 then 'for the test system' end, s.system_identifier, 'shop', '0/2000000', at,
           at + make_interval(secs => 96 + (n * 31) % 17), n <> 11, n = 11, 214, 182000000, 28700000000 + n * 210000000::bigint,
           7600000000 + n * 52000000::bigint, 'key/d' || n, 180004
    from noon cross join pg_control_system() s
  `)
  await fillWal(postgres)
  await fillDrills(postgres)
}

/** The last day, segment by segment: more by day than by night, and a batch at four. */
async function fillWal(postgres: SandboxPostgres): Promise<void> {
  await postgres.query(
    `with minute as (
       select m, round(1.2 + 3.1 * greatest(0, sin((extract(hour from at) * 60 + extract(minute from at) - 380) / 1440.0 * 2 * pi()))
                + 1.7 * abs(sin(m * 1.37)) + case when extract(hour from at) = 4 and extract(minute from at) < 25 then 7 else 0 end
              )::integer as segments, at
       from generate_series(0, 1438) m, lateral (select now() - make_interval(mins => 1439 - m)) t (at)
     ), segment as (
       select row_number() over (order by m, i) - 1 as n, at + make_interval(secs => i) as at
       from minute cross join lateral generate_series(1, segments) i
     )
     insert into backup._wal_segment
       (system_identifier, timeline, start_lsn, segment_bytes, bytes, sha256, stored_at, key)
     select s.system_identifier, 1, '0/14000000'::pg_lsn + (n * 65536)::numeric, $1, 4200000, sha256(n::text::bytea), at, 'key/w' || n
     from segment cross join pg_control_system() s`,
    [SHOWN_SEGMENT_BYTES],
  )
}

async function fillDrills(postgres: SandboxPostgres): Promise<void> {
  await postgres.query(`
    insert into backup._drill (server, system_identifier, backup_id, target, started_at, finished_at, ok,
      restore_seconds, recovery_seconds, restored_bytes, checks)
    select 'shop', b.system_identifier, b.backup_id, 'latest', b.stopped_at + interval '1 hour',
           b.stopped_at + interval '1 hour 19 minutes', true, 640, 210, b.raw_bytes, '[]'
    from (select c.*, row_number() over (order by c.stopped_at) as n from backup._base_backup c) b
    where b.n in (4, 11)`)
}

/** A dump that is under way, once the worker has begun: at its beginning it takes back what nobody works on. */
export async function fillRunning(postgres: SandboxPostgres): Promise<void> {
  await postgres.query(`
    insert into backup._job (kind, state, target, attempts, phase, bytes_done, bytes_total, started_at, schedule)
    values ('base', 'running', '{"label": "before the move"}', 1, 'copying', 19700000000, 45800000000,
            now() - interval '98 seconds', null)`)
}
