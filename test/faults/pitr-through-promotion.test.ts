import { afterEach, describe, expect, test } from 'vitest'
import { parseHistoryKey } from '../../src/box/key-names.js'
import { formatLsn } from '../../src/wal/lsn.js'
import { parseTimelineHistory } from '../../src/wal/timeline-history.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import type { PostgresVersion, SandboxPostgres } from '../sandbox/postgres.js'
import { Restores } from '../sandbox/restored.js'
import { disagreements } from './agreement.js'
import { writeSegments } from './observe.js'
import { promote } from './promote.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer
let restores: Restores

afterEach(async () => {
  await restores.remove()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

/** Commits a row, and says when that was over. */
async function write(n: number): Promise<string> {
  await backedUp.postgres.query(
    `insert into written select n, repeat(md5(n::text), 50) from (values ($1::int)) as v (n)`,
    [n],
  )
  const [row] = await backedUp.postgres.query<{ time: string }>(
    `select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`,
  )
  return row!.time
}

async function start(version: PostgresVersion): Promise<void> {
  backedUp = await BackedUpServer.start({ version, initdb: ['--wal-segsize=1'] })
  restores = new Restores(backedUp.s3, 'backups', version)
  await backedUp.postgres.query('create table written (n int primary key, text text)')
  await backedUp.backUp()
}

async function written(postgres: SandboxPostgres): Promise<number[]> {
  const rows = await postgres.query<{ n: number; whole: boolean }>(
    'select n, text = repeat(md5(n::text), 50) as whole from written order by n',
  )
  return rows.map(({ n, whole }) => (whole ? n : -n))
}

const recovered = async (...args: string[]) => written(await restores.recover(args))

/** Where timeline 2 left timeline 1. */
function switchLsn(): string {
  const key = backedUp.bucket.keys().find((one) => parseHistoryKey(one)?.timeline === 2)!
  return formatLsn(parseTimelineHistory(backedUp.bucket.get(key).toString())[0]!.switchLsn)
}

// Rows 1 and 2 on timeline 1, of which 2 is in its unfinished last segment; 3 and 4 on timeline 2.
describe.each([
  [18, 'neither the last segment of the old timeline nor the first of the new one is whole', 0],
  [15, 'the new timeline goes on for some segments', 3],
] as const)('recovery through a promotion on Postgres %i, where %s', (version, _, segments) => {
  test('is exact before it, at it and after it', async () => {
    await start(version)
    await write(1)
    await writeSegments(backedUp, 2)
    const before = await write(2)
    await backedUp.untilDurable()
    await backedUp.worker.stop()
    await promote(backedUp.postgres)
    await backedUp.resume()
    const after = await write(3)
    await writeSegments(backedUp, segments)
    await write(4)
    await backedUp.untilDurable()

    expect(await recovered('--target', `lsn=${switchLsn()}`)).toEqual([1, 2])
    expect(await recovered('--target', `time=${after}`)).toEqual([1, 2, 3])
    expect(await recovered('--target-timeline', '1')).toEqual([1, 2])
    if (version === 18) {
      expect(await recovered('--target', `time=${before}`)).toEqual([1, 2])
      expect(await recovered()).toEqual([1, 2, 3, 4])
    }
    expect(await disagreements(backedUp)).toEqual([])
  }, 240_000)
})
