import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseHistoryKey, parseSegmentKey, parseTailKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postbox, postboxOk } from '../sandbox/command.js'
import type { SandboxPostgres } from '../sandbox/postgres.js'
import { Restores } from '../sandbox/restored.js'
import { checkOf } from './observe.js'
import { promote } from './promote.js'
import { showLogOfFailures } from './show-log.js'

let first: BackedUpServer
let second: BackedUpServer
let restores: Restores

// Records of the same sizes at the same places, so that Postgres would not notice a mixture of the two.
beforeEach(async () => {
  first = await BackedUpServer.start({ initdb: ['--wal-segsize=1'], settings: { autovacuum: 'off' } })
  restores = new Restores(first.s3, 'backups')
  await first.postgres.query('create table written (n int, who text)')
  await first.backUp('common')
  second = await first.copy()
})

afterEach(async () => {
  await restores.remove()
  await second.remove()
  await first.remove()
})

showLogOfFailures(() => first)

const bothWrite = async (n: number) => {
  for (const [who, { postgres }] of [['first', first] as const, ['other', second] as const]) {
    await postgres.query('insert into written values ($1, $2)', [n, who])
  }
}

const bothStore = async () => {
  for (const one of [first, second]) await one.storeAllWal()
}

/** Rows as `first 1 2 3`, one text for each server that wrote some. */
async function written(postgres: SandboxPostgres): Promise<string[]> {
  const rows = await postgres.query<{ text: string }>(
    `select who || ' ' || string_agg(n::text, ' ' order by n) as text from written group by who order by who`,
  )
  return rows.map(({ text }) => text)
}

const recovered = async (...args: string[]) => written(await restores.recover(args))

interface Listed {
  backups: { backup_id: string; label: string; state: string }[]
  partings: { timeline: number; from_lsn: string; to_lsn: string; keys: string[] }[]
}

async function list(): Promise<Listed> {
  const { servers } = JSON.parse(await postboxOk(['list', '--json'], restores.env)) as { servers: Listed[] }
  return servers[0]!
}

const wal = () => first.bucket.keys().filter((key) => parseSegmentKey(key))

/** Names that are stored with two contents, with their keys. */
function twice(): [name: string, keys: string[]][] {
  const names = [...new Set(wal().map((key) => parseSegmentKey(key)!.name))]
  const keysOf = (name: string) => wal().filter((key) => parseSegmentKey(key)!.name === name)
  return names.map((name): [string, string[]] => [name, keysOf(name)]).filter(([, keys]) => keys.length > 1)
}

/** Makes now this server's and now that one's object the one that was stored first: what a reader must not follow. */
function shuffleTimes(): void {
  for (const [index, [, keys]] of twice().entries()) {
    const sorted = index % 2 ? keys : [...keys].reverse()
    for (const [at, key] of sorted.entries()) {
      first.bucket.current(key)!.storedAt = new Date(Date.UTC(2026, 10, 22, 10, index, at))
    }
  }
}

describe('two servers that go on from one data directory under one name', () => {
  beforeEach(async () => {
    for (const one of [first, second]) await one.resume()
  })

  test('are both stored, are seen, and either is restored whole and alone', async () => {
    for (let n = 1; n <= 4; n++) {
      await bothWrite(n)
      await bothStore()
    }
    await first.backUp('of the first')
    await second.backUp('of the other')
    for (let n = 5; n <= 6; n++) {
      await bothWrite(n)
      await bothStore()
    }
    await bothWrite(7)
    for (const one of [first, second]) await one.untilDurable()

    expect(twice().length).toBeGreaterThan(6)
    for (const [, keys] of twice()) expect(keys.map((key) => first.bucket.versions(key).length)).toEqual([1, 1])
    shuffleTimes()

    const { backups, partings } = await list()
    const [[name, keys]] = twice() as [[string, string[]]]
    expect(partings).toMatchObject([{ timeline: 1, keys: expect.arrayContaining(keys) as string[] }])
    expect(backups.map(({ label, state }) => `${label}: ${state}`).sort()).toEqual([
      'common: restorable',
      'of the first: restorable',
      'of the other: restorable',
    ])
    expect(await postboxOk(['list'], restores.env)).toContain('is stored in two ways from')

    // Each backup by itself: to the end, its last unfinished segment too.
    const all = (who: string) => [`${who} 1 2 3 4 5 6 7`]
    for (const { backup_id, label } of backups.filter((backup) => backup.label !== 'common')) {
      expect(await recovered('--backup', backup_id)).toEqual(all(label.slice('of the '.length)))
    }
    // From where both were one: the one that was stored first, or the one that is asked for.
    const common = ['--backup', backups.find(({ label }) => label === 'common')!.backup_id]
    const { notes } = JSON.parse((await restores.attempt([...common, '--dry-run', '--json'])).stdout) as {
      notes: string[]
    }
    expect(notes.join('\n')).toContain(`${partings[0]!.keys[0]!} is followed, and not ${partings[0]!.keys[1]!}`)
    const [one, two] = [await recovered(...common), await recovered(...common, '--follow', partings[0]!.keys[1]!)]
    expect([one, two].sort()).toEqual([all('first'), all('other')])
    expect(name).toBe(parseSegmentKey(partings[0]!.keys[0]!)!.name)
  }, 240_000)

  test('are told apart in a segment that neither has finished', async () => {
    for (let n = 1; n <= 3; n++) {
      await bothWrite(n)
      for (const one of [first, second]) await one.untilDurable()
    }
    expect(twice()).toEqual([])
    const { notes } = JSON.parse((await restores.attempt(['--dry-run', '--json'])).stdout) as { notes: string[] }
    const [, key, other] = /stored in two ways .*: (\S+) is followed, and not (\S+)/.exec(notes.join('\n'))!
    expect([parseTailKey(key!), parseTailKey(other!)]).not.toContain(null)
    const [one, two] = [await recovered(), await recovered('--follow', other!)]
    expect([one, two].sort()).toEqual([['first 1 2 3'], ['other 1 2 3']])
  })

  test('are seen by the catalog that is given the segments of both', async () => {
    await bothWrite(1)
    const [row] = await second.postgres.query<{ name: string }>('select pg_walfile_name(pg_current_wal_lsn()) as name')
    await bothStore()
    const path = join(second.postgres.dataDir, 'pg_wal', row!.name)
    const { code, stderr } = await postbox(['archive-wal', path], first.databaseEnv())
    expect(code).toBe(1)
    expect(stderr).toContain('(wal_conflict)')
    expect(await checkOf(first, 'worker')).toMatchObject({
      state: 'crit',
      message: expect.stringContaining(`WAL segment ${row!.name} was stored before with other content`) as string,
      hint: expect.stringContaining('split brain') as string,
    })
    // The worker streams on, and a new one begins without the complaint.
    await first.storeAllWal()
    await first.worker.stop()
    await first.resume()
    expect(await checkOf(first, 'worker')).toMatchObject({ state: 'ok' })
  })
})

test('two servers that were promoted to the same timeline are both stored, and restore follows one of them', async () => {
  await first.resume()
  await first.postgres.query(`insert into written values (1, 'before')`)
  await first.storeAllWal()
  await first.postgres.query(`insert into written values (2, 'before')`)
  await first.untilDurable()
  await first.worker.stop()
  // The copy was made before these rows, so that it leaves timeline 1 at an earlier place.
  for (const one of [first, second]) {
    await promote(one.postgres)
    await one.resume()
  }
  for (let n = 3; n <= 5; n++) {
    await bothWrite(n)
    if (n < 5) await bothStore()
  }
  for (const one of [first, second]) await one.untilDurable()

  const histories = first.bucket.keys().filter((key) => parseHistoryKey(key))
  expect(histories.map((key) => parseHistoryKey(key)!.timeline)).toEqual([2, 2])
  expect((await list()).partings.find(({ timeline }) => timeline === 2)!.keys.sort()).toEqual(histories)
  shuffleTimes()
  for (const [at, key] of histories.entries())
    first.bucket.current(key)!.storedAt = new Date(Date.UTC(2026, 10, 22, at))

  const followed: string[][] = []
  for (const key of histories) followed.push(await recovered('--follow', key))
  expect(followed.sort()).toEqual([['before 1 2', 'first 3 4 5'], ['other 3 4 5']])
  const { stdout, stderr } = await restores.attempt(['--dry-run'])
  expect(stdout, stderr).toContain(`two servers were promoted to timeline 2: ${histories[0]!} is followed`)
  expect(await recovered('--target-timeline', '1')).toEqual(['before 1 2'])
})
