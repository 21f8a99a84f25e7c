import { describe, expect, test } from 'vitest'
import type { Overview } from '../../src/catalog/overview.js'
import { pageSections } from '../../src/worker/page/page-body.js'
import { safety } from '../../src/worker/page/safety.js'
import type { Seen } from '../../src/worker/page/seen.js'
import { WalHistory } from '../../src/worker/wal-history.js'
import { parseLsn } from '../../src/wal/lsn.js'

const NOON = Date.UTC(2026, 10, 25, 12)
const HOUR = 3_600_000

const window = {
  system_identifier: '7',
  is_current: true,
  is_own: true,
  timeline: 1,
  from_at: NOON - 48 * HOUR,
  to_at: NOON - HOUR,
  to_lsn: '0/5000000',
  base_backups: 2,
  open: true,
  is_last: true,
}

const well: Overview = {
  now_at: NOON,
  server: 'db1',
  database: 'postgres',
  postgres_version: '18.4',
  worker_version: '0.1.0',
  worker_started_at: NOON - HOUR,
  durable_lsn: '0/5000100',
  bytes_at_risk: 100,
  seconds_at_risk: 2.5,
  grant_expires_at: NOON + HOUR,
  last_drill_at: null,
  dumps_alone: false,
  windows: [window],
  gaps: [],
  base_backups: [],
  base_count: 0,
  dumps: [],
  dump_count: 0,
  whole_dump_at: null,
  drills: [],
  jobs: [],
  schedules: [],
  checks: [{ name: 'worker', state: 'ok', message: 'a worker runs', hint: null, since: null }],
}

const seen = (more: Partial<Overview> | null, rest: Partial<Seen> = {}): Seen => ({
  overview: more && { ...well, ...more },
  durable: parseLsn('0/5000100'),
  readAt: new Date(NOON),
  away: null,
  streaming: true,
  wal: new WalHistory(NOON - HOUR),
  now: new Date(NOON),
  ...rest,
})

const away = { since: new Date(NOON), why: 'the connection was refused' }
const job = {
  job_id: 1,
  kind: 'base' as const,
  state: 'running',
  label: null,
  phase: null,
  bytes_done: 0,
  bytes_total: null,
  rate: null,
  eta_seconds: null,
  schedule: null,
  created_at: NOON,
  started_at: NOON,
}

const dump = {
  ...job,
  dump_id: 'd',
  database_name: 'shop',
  finished_at: NOON,
  tables: 1,
  raw_bytes: 1,
  stored_bytes: 1,
}
const dumps = [
  { ...dump, snapshot_at: NOON - HOUR, whole: false, masked: false },
  { ...dump, snapshot_at: NOON - 2 * HOUR, whole: false, masked: true },
  { ...dump, snapshot_at: NOON - 3 * HOUR, whole: true, masked: false },
]

describe('until when all is safe', () => {
  test.each([
    ['what waits is not', seen({}), NOON - 2500, false, 'ok'],
    ['nothing waits', seen({ bytes_at_risk: 0, seconds_at_risk: 0 }), NOON, false, 'ok'],
    ['there is no window', seen({ windows: [] }), null, false, 'crit'],
    ['there is no dump where WAL is not wanted', seen({ dumps_alone: true }), null, false, 'crit'],
    [
      'the newest whole dump is all there is',
      seen({ dumps_alone: true, dumps, whole_dump_at: NOON - 3 * HOUR }),
      NOON - 3 * HOUR,
      false,
      'ok',
    ],
    ['the first base backup runs', seen({ windows: [], jobs: [job] }), null, false, 'warn'],
    [
      'the windows are of a cluster before this',
      seen({ windows: [{ ...window, is_current: false }] }),
      null,
      false,
      'crit',
    ],
    [
      'the windows are of a life that a restore left',
      seen({ windows: [{ ...window, is_own: false }] }),
      null,
      false,
      'crit',
    ],
    ['WAL is missing behind the window', seen({ windows: [{ ...window, open: false }] }), window.to_at, false, 'crit'],
    ['WAL goes on elsewhere', seen({ windows: [{ ...window, is_last: false }] }), window.to_at, false, 'crit'],
    ['what waits cannot be seen', seen({ seconds_at_risk: null }), window.to_at, true, 'ok'],
    ['a slot stands where nothing was stored', seen({ durable_lsn: '0/5000101' }), window.to_at, true, 'ok'],
    ['the worker has not streamed yet', seen({}, { durable: null }), window.to_at, true, 'ok'],
    ['the database is away', seen({}, { away }), NOON - 2500, true, 'crit'],
    ['the database was never there', seen(null, { away, readAt: null }), null, false, 'crit'],
  ] as const)('where %s', (_, state, until, atLeast, level) => {
    expect(safety(state)).toMatchObject({ until, atLeast, level })
    // Every state can be shown.
    expect(pageSections(state).get('now')).toContain(
      atLeast ? 'Safe at least until' : until === null ? '>Safe<' : 'Safe until',
    )
  })

  test('the words that are read aloud say what is worst, and no time', () => {
    const check = (state: 'ok' | 'warn' | 'crit') => ({ ...well.checks[0]!, state })
    const words = (...states: ('ok' | 'warn' | 'crit')[]) => safety(seen({ checks: states.map(check) })).words
    expect([words('ok'), words('ok', 'warn'), words('warn', 'warn'), words('crit', 'warn')]).toEqual([
      'All checks are ok',
      'One check warns',
      '2 checks warn',
      'One check is critical',
    ])
    expect(pageSections(seen({})).get('state')).toBe('All checks are ok')
  })
})

test('timelines have lanes of their own, and what lies between two windows says why nothing can be restored there', () => {
  const older = {
    ...window,
    from_at: NOON - 200 * HOUR,
    to_at: NOON - 100 * HOUR,
    to_lsn: '0/2000000',
    is_last: false,
    open: false,
  }
  const text = pageSections(
    seen({
      windows: [{ ...window, timeline: 2 }, { ...window, is_last: false }, older],
      gaps: [
        {
          is_current: true,
          timeline: 1,
          from_lsn: '0/2000000',
          to_lsn: '0/3000000',
          bytes: 16 * 1024 * 1024,
          reason: 'the slot was <dropped>',
          found_at: NOON,
        },
      ],
    }),
  ).get('windows')!
  expect(text.match(/class="timeline"/g)).toHaveLength(2)
  expect(text).toContain('16.0 MiB of WAL are missing (the slot was &lt;dropped&gt;)')
  // What was stored last counts for the newest window alone.
  expect(text).toContain('restorable from 2026-11-23 12:00:00 to 2026-11-25 11:59:57, timeline 2')
  expect(text).toContain('restorable from 2026-11-23 12:00:00 to 2026-11-25 11:00:00, timeline 1')
  expect(text).toContain('ends here')
})
