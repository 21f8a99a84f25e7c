import { access, chown, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { keyholderEnv, postbox, type CommandResult } from '../sandbox/command.js'
import { ArchiveMaker } from '../sandbox/make-archive.js'
import { removeScratch, scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { hurryFetchWal, promoted, Restores } from '../sandbox/restored.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'
import { until } from '../sandbox/until.js'

let s3: LocalS3
const undo: (() => void)[] = []

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
})

afterEach(() => {
  for (const one of undo.splice(0)) one()
})

afterAll(async () => {
  await s3.close()
  await removeScratch()
})

const there = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

describe('fetch-wal', () => {
  const SEGMENT = '000000010000000000000001'
  let made: SyntheticArchive
  let directory: string
  let count = 0

  beforeEach(async () => {
    made = new SyntheticArchive(s3.bucket('b'), `single${++count}`)
    made.segments(1, '0/100000', '0/300000')
    made.history(10, [[1, '0/200000']])
    directory = await scratchDir('wal')
  })

  const fetch = (file: string, more: readonly string[] = [], env = keyholderEnv(s3, 'b')): Promise<CommandResult> => {
    const where = ['--server', made.server, '--system-identifier', made.home.systemIdentifier, '--retry-for', '1s']
    return postbox(['fetch-wal', ...where, ...more, file, join(directory, 'RECOVERYXLOG')], env)
  }

  test('puts a segment and a history file where Postgres wants them', async () => {
    expect(await fetch(SEGMENT)).toMatchObject({ code: 0, stdout: '', stderr: '' })
    const segment = await readFile(join(directory, 'RECOVERYXLOG'))
    expect([segment.length, segment.readUInt32LE(4), segment.readBigUInt64LE(8)]).toEqual([1024 * 1024, 1, 0x100000n])
    expect((await fetch('0000000A.history')).code).toBe(0)
    expect(await readFile(join(directory, 'RECOVERYXLOG'), 'utf8')).toContain('0/200000')
    expect(await readdir(directory)).toEqual(['RECOVERYXLOG'])
  })

  test.each([
    ['a segment that is not stored', '000000010000000000000009'],
    ['a timeline that is not stored', '000000020000000000000001'],
    ['a history that is not stored', '00000002.history'],
    ['a backup label', `${SEGMENT}.00000028.backup`],
    ['a partial segment', `${SEGMENT}.partial`],
  ])('ends with 1 and writes nothing for %s', async (_, file) => {
    expect(await fetch(file)).toMatchObject({ code: 1, stderr: '' })
    expect(await readdir(directory)).toEqual([])
  })

  test('takes nothing for a file whose name only begins like that of one', async () => {
    const missing = '000000010000000000000009'
    const mark = '0123456789ab'
    const names = [
      `${missing}.00000028.backup-${mark}.zst`,
      `${missing}.partial-${mark}.zst`,
      `${missing}-${mark}.zst.tmp`,
      `${missing}-${mark.slice(1)}.zst`,
      `${missing}-${mark}-${mark}-${mark}.zst`,
      `${missing}0-${mark}.zst`,
      `${missing}-${mark}/${missing}-${mark}.zst`,
    ]
    for (const name of names) s3.bucket('b').put(made.walPrefix(1) + name, Buffer.from('no WAL'))
    s3.bucket('b').put(made.walPrefix(1).replace(/0{7}1\/$/, `00000002.history.old-${mark}`), Buffer.from('no history'))
    for (const file of [missing, `${missing}.00000028.backup`, `${missing}.partial`, '00000002.history']) {
      expect(await fetch(file)).toMatchObject({ code: 1, stderr: '' })
    }
    expect(await readdir(directory)).toEqual([])
  })

  test.each([
    ['the archive is away', () => s3.fail({ times: 1_000, fault: { kind: 'down' } }), 'archive_unavailable'],
    [
      'the archive fails',
      () => s3.fail({ times: 1_000, fault: { kind: 'status', status: 500 } }),
      'archive_unavailable',
    ],
    [
      'the key may not read',
      () => s3.fail({ times: 1_000, fault: { kind: 'status', status: 403, code: 'AccessDenied' } }),
      'archive_refused',
    ],
    [
      'the object is damaged',
      () => s3.bucket('b').corrupt(s3.bucket('b').keys(made.walPrefix(1))[0]!),
      'object_damaged',
    ],
    [
      'the object is another segment',
      () =>
        s3
          .bucket('b')
          .corrupt(s3.bucket('b').keys(made.walPrefix(1))[0]!, () =>
            s3.bucket('b').get(s3.bucket('b').keys(made.walPrefix(1))[1]!),
          ),
      'object_damaged',
    ],
  ])('ends with 255 when %s, which stops recovery', async (_, harm, code) => {
    undo.push(harm() ?? (() => undefined))
    const failed = await fetch(SEGMENT)
    expect(failed.code).toBe(255)
    expect(failed.stderr).toContain(`(${code})`)
    expect(await readdir(directory)).toEqual([])
  })

  test.each([
    ['an option is unknown', ['--unknown'], {}],
    ['the bucket is not there', ['--bucket', 'nowhere', '--region', 'us-east-1', '--path-style'], {}],
    ['nothing is stored of the server', ['--server', 'other'], {}],
    ['there is no S3 key', [], { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_EC2_METADATA_DISABLED: 'true' }],
    ['no bucket is named', [], { POSTBOX_BUCKET: '' }],
  ] as [string, string[], Record<string, string>][])('ends with 255 when %s', async (_, more, env) => {
    const endpoint = more.includes('--bucket') ? ['--endpoint', s3.endpoint] : []
    const failed = await fetch('000000010000000000000009', [...more, ...endpoint], { ...keyholderEnv(s3, 'b'), ...env })
    expect(failed.code).toBe(255)
    expect(failed.stderr).toMatch(/^postbox: .*\nhint: /)
  })

  test('joins a segment from its tails, zeros behind them, and only while it is not stored whole', async () => {
    const unfinished = '000000010000000000000003'
    made.tails(1, '0/300000', [100, 8000], ['2026-11-22T10:00:00Z'])
    const { code, stderr } = await fetch(unfinished)
    expect([code, stderr.trim()]).toEqual([
      0,
      `postbox: warning: ${unfinished} is not stored whole; its tails hold it up to 0/301F40`,
    ])
    const joined = await readFile(join(directory, 'RECOVERYXLOG'))
    expect([joined.length, joined.readBigUInt64LE(8), joined.readUInt32LE(40)]).toEqual([1024 * 1024, 0x300000n, 34])
    expect(await fetch(`${unfinished}.partial`)).toMatchObject({ code: 1, stderr: '' })

    made.segment(1, '0/300000')
    expect(await fetch(unfinished)).toMatchObject({ code: 0, stderr: '' })
    expect((await readFile(join(directory, 'RECOVERYXLOG'))).readUInt32LE(40)).toBe(0)
  })

  test('asks again while the archive stutters', async () => {
    undo.push(s3.fail({ op: 'GetObject', times: 4, fault: { kind: 'status', status: 503, code: 'SlowDown' } }))
    expect((await fetch(SEGMENT, ['--retry-for', '60s'])).code).toBe(0)
  })

  test('takes the segment that was stored first when there are two, and warns', async () => {
    const rival = made.segment(1, '0/100000', ['2026-11-22T10:00:00Z'])
    const { code, stderr } = await fetch(SEGMENT)
    expect(code).toBe(0)
    expect(stderr).toContain(`warning: ${rival} claims ${SEGMENT} with other bytes`)
    // the commit record of the rival would stand here
    expect((await readFile(join(directory, 'RECOVERYXLOG'))).readUInt32LE(40)).toBe(0)
  })
})

describe('recovery from the archive', () => {
  let postgres: SandboxPostgres
  let restores: Restores
  let rows: number

  // A backup and some twenty segments after it.
  beforeAll(async () => {
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
  })

  const count = async (server: SandboxPostgres): Promise<number> =>
    (await server.query<{ n: number }>('select count(*)::int n from filled'))[0]!.n

  const segments = (): string[] =>
    s3
      .bucket('b')
      .keys('db1/')
      .filter((key) => key.includes('/wal/'))

  test('fetches ahead, each segment about once, and cleans up behind itself', async () => {
    const before = s3.requests.length
    const server = await restores.recover()
    expect(await count(server)).toBe(rows)
    const gets = s3.requests.slice(before).filter((one) => one.op === 'GetObject' && one.key?.includes('/wal/'))
    expect(segments().length).toBeGreaterThan(15)
    // Some are asked for twice: Postgres reads the first and the last again.
    expect(gets.length).toBeLessThan(segments().length + 10)
    await until(
      'the spool is gone',
      async () => !(await readdir(join(server.dataDir, 'pg_wal'))).join().includes('spool'),
    )
  })

  test('ends its prefetcher together with the server', async () => {
    const dataDir = await restores.restore(['--target', 'immediate', '--target-action', 'pause'])
    const server = await restores.start(dataDir)
    const pid = await until('a prefetcher runs', async () =>
      Number(await readFile(join(dataDir, 'pg_wal/postbox-spool/prefetcher'), 'utf8')),
    )
    await until('the spool is full', async () => {
      const names = await readdir(join(dataDir, 'pg_wal/postbox-spool'))
      return names.filter((name) => /^[0-9A-F]{24}$/.test(name)).length === 8
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
    const spool = join(dataDir, 'pg_wal/postbox-spool')
    await mkdir(spool)
    // A process id that lives but is no prefetcher, an unfinished segment, and a position of long ago.
    await writeFile(join(spool, 'prefetcher'), '1')
    await writeFile(join(spool, '000000010000000000000009.fetching'), 'half')
    await writeFile(join(spool, 'wanted'), '000000010000000000000001')
    await utimes(join(spool, 'prefetcher'), new Date(0), new Date(0))
    const { uid, gid } = await stat(dataDir)
    for (const name of ['', ...(await readdir(spool))]) await chown(join(spool, name), uid, gid)
    const recovered = await restores.start(dataDir)
    await promoted(recovered)
    expect(await count(recovered)).toBe(rows)
  })
})
