import { access, chmod, chown, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { hasPerl } from '../sandbox/archiving.js'
import { ArchiveMaker } from '../sandbox/make-archive.js'
import { removeScratch, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { killAll } from '../sandbox/processes.js'
import { program } from '../sandbox/program.js'
import { hurryFetchWal, promoted, Restores } from '../sandbox/restored.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { until } from '../sandbox/until.js'

const SPOOL = 'pg_wal/postbox-spool'
const SEGMENT = /^[0-9A-F]{24}$/

let s3: LocalS3
const undo: (() => void)[] = []

let postgres: SandboxPostgres
let restores: Restores
let rows: number

// A backup and some twenty segments after it.
beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  postgres = await startPostgres({ initdb: ['--wal-segsize=4'], settings: { wal_keep_size: '1GB' } })
  const made = await ArchiveMaker.open(postgres, s3.bucket('b'))
  restores = new Restores(s3, 'b')
  await postgres.query('create table filled (n int, v text)')
  await made.backUp()
  for (let round = 0; round < 4; round++) {
    await postgres.query('insert into filled select n, repeat(md5(n::text), 20) from generate_series(1, 25000) n')
    await made.storeWal()
  }
  const [row] = await postgres.query<{ n: number }>('select count(*)::int n from filled')
  rows = row!.n
})

afterAll(async () => {
  await restores.remove()
  await postgres.remove()
  await s3.close()
  await removeScratch()
})

afterEach(() => {
  for (const one of undo.splice(0)) one()
})

const there = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

const count = async (server: SandboxPostgres): Promise<number> =>
  (await server.query<{ n: number }>('select count(*)::int n from filled'))[0]!.n

/** Reads of WAL since that many requests. */
const gets = (before: number) =>
  s3.requests.slice(before).filter((one) => one.op === 'GetObject' && one.key?.includes('/wal/'))

const segments = (): string[] =>
  s3
    .bucket('b')
    .keys('db1/')
    .filter((key) => key.includes('/wal/'))

test('fetches ahead, each segment about once, and cleans up behind itself', async () => {
  const before = s3.requests.length
  const server = await restores.recover()
  expect(await count(server)).toBe(rows)
  expect(segments().length).toBeGreaterThan(15)
  // Some are asked for twice: Postgres reads the first and the last again.
  expect(gets(before).length).toBeLessThan(segments().length + 10)
  await until(
    'the spool is gone',
    async () => !(await readdir(join(server.dataDir, 'pg_wal'))).join().includes('spool'),
  )
})

test('ends its prefetcher together with the server', async () => {
  const dataDir = await restores.restore(['--target', 'immediate', '--target-action', 'pause'])
  const server = await restores.start(dataDir)
  const pid = await until('a prefetcher runs', async () =>
    Number(await readFile(join(dataDir, SPOOL, 'prefetcher'), 'utf8')),
  )
  await until('the spool is full', async () => {
    const names = await readdir(join(dataDir, SPOOL))
    return names.filter((name) => SEGMENT.test(name)).length === 8
  })
  await server.stop()
  await until('the prefetcher has ended', () => {
    try {
      return !process.kill(pid, 0)
    } catch {
      return true
    }
  })
})

test('goes on by itself after the archive was away for a moment', async () => {
  const dataDir = await restores.restore()
  undo.push(s3.fail({ op: 'GetObject', nth: 5, times: 12, fault: { kind: 'down' } }))
  const server = await restores.start(dataDir)
  await promoted(server)
  expect(await count(server)).toBe(rows)
})

test('stops when the archive stays away, does not end early, and goes on at the next start', async () => {
  const dataDir = await restores.restore()
  await hurryFetchWal(dataDir, '1s')
  const away = s3.fail({ op: 'GetObject', nth: 8, times: 1_000_000, fault: { kind: 'down' } })
  undo.push(away)
  // It may accept connections for a while before it comes to the segment that it cannot get.
  const started = await restores.start(dataDir).catch(() => null)
  await until('Postgres has ended', async () => !(await there(join(dataDir, 'postmaster.pid'))))
  expect(await there(join(dataDir, 'recovery.signal')), started ? await started.log() : '').toBe(true)
  expect(await there(join(dataDir, 'pg_wal/00000002.history'))).toBe(false)
  if (started) expect(await started.log()).toContain('exited with exit code 255')

  away()
  const server = await restores.start(dataDir)
  await promoted(server)
  expect(await count(server)).toBe(rows)
})

test('is not misled by what an earlier prefetcher left behind', async () => {
  const dataDir = await restores.restore()
  const spool = join(dataDir, SPOOL)
  await mkdir(spool)
  // A process id that lives but is no prefetcher, an unfinished segment, a dead socket, and a position of long ago.
  await writeFile(join(spool, 'prefetcher'), '1')
  await writeFile(join(spool, '000000010000000000000009.fetching'), 'half')
  await writeFile(join(spool, 'asked.1'), 'what nobody took')
  await writeFile(join(spool, 'ask'), 'no socket')
  await writeFile(join(spool, 'wanted'), '000000010000000000000001')
  await utimes(join(spool, 'prefetcher'), new Date(0), new Date(0))
  const { uid, gid } = await stat(dataDir)
  for (const name of ['', ...(await readdir(spool))]) await chown(join(spool, name), uid, gid)
  const recovered = await restores.start(dataDir)
  await promoted(recovered)
  expect(await count(recovered)).toBe(rows)
})

/** Has the restore_command write down what it starts Node with. The answer reads that, one line for each start. */
async function noteStarts(dataDir: string): Promise<() => Promise<string[]>> {
  const { node } = await program()
  const [wrapper, notes] = ['node', 'notes'].map((name) => join(dataDir, name)) as [string, string]
  await writeFile(wrapper, `#!/bin/sh\necho "$*" >>'${notes}'\nexec '${node}' "$@"\n`)
  await chmod(wrapper, 0o755)
  const file = join(dataDir, 'postgresql.auto.conf')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(`set -- ''${node}''`, `set -- ''${wrapper}''`))
  return async () => (await readFile(notes, 'utf8')).trim().split('\n')
}

test.runIf(hasPerl)('starts Node once, for the prefetcher, to the very end of the archive', async () => {
  const dataDir = await restores.restore()
  const starts = await noteStarts(dataDir)
  const server = await restores.start(dataDir)
  await promoted(server)
  expect(await count(server)).toBe(rows)
  expect(await starts()).toEqual([expect.stringMatching(/ --prefetch-after [0-9A-F]{24}$/)])
})

test('goes on when the prefetcher is killed at its work, and takes nothing that is half-written', async () => {
  const dataDir = await restores.restore()
  const spool = join(dataDir, SPOOL)
  const released = Promise.withResolvers<undefined>()
  undo.push(() => {
    released.resolve(undefined)
  })
  const hold = { kind: 'hold', when: 'before-store', until: released.promise } as const
  const before = s3.requests.length
  undo.push(s3.fail({ op: 'GetObject', key: /\/wal\//, nth: 8, times: 1_000, fault: hold }))
  const started = restores.start(dataDir)
  const unfinished = await until('Postgres has taken all but what is being fetched', async () => {
    const names = await readdir(spool)
    const held = names.filter((name) => name.endsWith('.fetching'))
    return held.length === 4 && !names.some((name) => SEGMENT.test(name)) && gets(before).length >= 11 ? held : null
  })
  await killAll([Number(await readFile(join(spool, 'prefetcher'), 'utf8'))])
  for (const name of unfinished) await writeFile(join(spool, name), 'half')
  for (const one of undo.splice(0)) one()
  const server = await started
  await promoted(server)
  expect(await count(server)).toBe(rows)
})

test('does without a spool that cannot be written to', async () => {
  const dataDir = await restores.restore(['--target', 'immediate'])
  await mkdir(join(dataDir, SPOOL))
  const { uid, gid } = await stat(dataDir)
  await chown(join(dataDir, SPOOL), uid, gid)
  await chmod(join(dataDir, SPOOL), 0o555)
  const server = await restores.start(dataDir)
  await promoted(server)
  expect(await server.log()).toContain('warning: no prefetching')
})
