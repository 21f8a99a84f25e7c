import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseHistoryKey, parseSegmentKey, parseTailKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postboxOk } from '../sandbox/command.js'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { Restores } from '../sandbox/restored.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { promote } from './promote.js'
import { showLogOfFailures } from './show-log.js'

const LAST = 0x11
/** Timelines on which a base backup is made. */
const BACKED_UP = [0x9, 0xa, 0x10]

let backedUp: BackedUpServer
let restores: Restores
/** after the row of each timeline */
const moments = new Map<number, { lsn: string; time: string }>()

// A row on each of 17 timelines. The worker comes for the backups and at the end, and finds what it has missed.
beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  restores = new Restores(backedUp.s3, 'backups')
  const { postgres } = backedUp
  await backedUp.worker.says('streaming WAL')
  await postgres.query('create table written (timeline int)')
  for (let timeline = 1; timeline <= LAST; timeline++) {
    if (timeline > 1) {
      await backedUp.worker.stop()
      await promote(postgres)
    }
    if (BACKED_UP.includes(timeline)) {
      await backedUp.resume()
      await backedUp.backUp(timeline.toString(16))
    }
    await postgres.query('insert into written values ($1)', [timeline])
    const [moment] = await postgres.query<{ lsn: string; time: string }>(
      `select pg_current_wal_insert_lsn()::text as lsn,
              to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`,
    )
    moments.set(timeline, moment!)
  }
  await backedUp.resume()
})

afterAll(async () => {
  await restores.remove()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

async function written(postgres: SandboxPostgres): Promise<number[]> {
  const rows = await postgres.query<{ timeline: number }>('select timeline from written order by 1')
  return rows.map(({ timeline }) => timeline)
}

const upTo = (timeline: number) => Array.from({ length: timeline }, (_, index) => index + 1)

describe('a server on its 17th timeline', () => {
  test('has every timeline stored, under hexadecimal names, each after the one it left', async () => {
    expect(await disagreements(backedUp)).toEqual([])
    const histories = backedUp.bucket.keys().flatMap((key) => parseHistoryKey(key)?.timeline ?? [])
    expect(histories).toEqual(upTo(LAST).slice(1))
    const folders = new Set(
      backedUp.bucket.keys().flatMap((key) => {
        const name = parseSegmentKey(key)?.name ?? parseTailKey(key)?.name
        return name === undefined ? [] : name.slice(0, 8)
      }),
    )
    // Of one that was left in the segment in which it began, the next one's first segment holds everything.
    for (const name of ['00000009', '0000000A', '00000010', '00000011']) expect(folders).toContain(name)
  })

  test('has windows that lead from each backup to the last timeline, in the catalog and in the list', async () => {
    const windows = await until('the last row is in the windows', async () => {
      const rows = await backedUp.postgres.query<{ label: string; timeline: number }>(
        `select b.label, w.timeline from backup.recovery_windows w join backup.base_backups b using (backup_id)
         where w.to_at >= $1 order by b.stopped_at`,
        [moments.get(LAST)!.time],
      )
      return rows.length > 0 ? rows : null
    })
    expect(windows).toEqual(['9', 'a', '10'].map((label) => ({ label, timeline: LAST })))
    const { servers } = JSON.parse(await postboxOk(['list', '--json'], restores.env)) as {
      servers: {
        backups: { timeline: number; window: { timeline: number } }[]
        timelines: { timeline: number; parent: number | null }[]
        problems: string[]
        wal_gaps: unknown[]
      }[]
    }
    const { backups, timelines, problems, wal_gaps } = servers[0]!
    expect(backups.map(({ timeline, window }) => [timeline, window.timeline])).toEqual(
      [0x10, 0xa, 0x9].map((timeline) => [timeline, LAST]),
    )
    const seen = timelines.map(({ timeline, parent }) => [timeline, parent])
    expect(seen).toEqual(upTo(LAST).map((timeline) => [timeline, timeline === 1 ? null : timeline - 1]))
    expect([problems, wal_gaps]).toEqual([[], []])
    expect(await postboxOk(['list'], restores.env)).toContain('timeline 16 (0x10): left 15 at ')
  })

  test.each([
    ['the end', [], LAST],
    ['the end of timeline 0xA', ['--target-timeline', '0xA'], 0xa],
    ['the end of timeline 0xF, which no backup is of', ['--target-timeline', '15'], 0xf],
  ] as [string, string[], number][])('is restored to %s', async (_, args, last) => {
    expect(await written(await restores.recover(args))).toEqual(upTo(last))
  })

  test.each([0xc, 0x10])('is restored to a moment on timeline %i', async (timeline) => {
    const { lsn, time } = moments.get(timeline)!
    const by = timeline === 0xc ? `lsn=${lsn}` : `time=${time}`
    expect(await written(await restores.recover(['--target', by]))).toEqual(upTo(timeline))
  })
})
