import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openArchive, type Archive } from '../../src/keyholder/archive.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { backups, readBackup, servers, systemIdentifiers } from '../../src/keyholder/stored-backups.js'
import { findSegment, walSegments } from '../../src/keyholder/stored-wal.js'
import { formatLsn } from '../../src/wal/lsn.js'
import { segmentName } from '../../src/wal/segment.js'
import type { FaultRule } from '../sandbox/s3/faults.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

let s3: LocalS3
let client: S3Client
let count = 0
const undo: (() => void)[] = []

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'versioned', versioned: true }, { name: 'plain' }] })
  client = sdkClient(s3)
})

afterEach(() => {
  for (const one of undo.splice(0)) one()
})

afterAll(async () => {
  client.destroy()
  await s3.close()
})

const fresh = (bucket = 'versioned') => new SyntheticArchive(s3.bucket(bucket), `db${++count}`)
const open = (bucket = 'versioned', patienceMs = 5_000): Archive => openArchive(client, bucket, { patienceMs })
const fail = (rule: FaultRule) => void undo.push(s3.fail(rule))

const BACKUP = {
  startedAt: '2026-11-22T10:00:00Z',
  stoppedAt: '2026-11-22T10:05:00Z',
  start: '0/100028',
  stop: '0/100100',
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

describe.each(['versioned', 'plain'])('the archive in a %s bucket', (bucket) => {
  test('lists more objects than one answer holds, each once and in order', async () => {
    const made = fresh(bucket)
    const keys = Array.from({ length: 2_345 }, (_, index) => `${made.server}/many/${String(index).padStart(6, '0')}`)
    for (const key of keys) s3.bucket(bucket).put(key, Buffer.from(key))
    const listed = await all(open(bucket).list(`${made.server}/many/`))
    expect(listed.map((one) => one.key)).toEqual(keys)
    const after = await all(open(bucket).list(`${made.server}/many/`, keys[1_999]))
    expect(after.map((one) => one.key)).toEqual(keys.slice(2_000))
    expect((await open(bucket).read(listed[1_234]!)).toString()).toBe(keys[1_234])
  })

  test('lists more folders than one answer holds', async () => {
    const made = fresh(bucket)
    for (let index = 0; index < 1_100; index++) s3.bucket(bucket).put(`${made.server}/f/${index}/x`, Buffer.from('x'))
    expect((await all(open(bucket).folders(`${made.server}/f/`))).length).toBe(1_100)
  })

  test('finds servers, their lives and their backups', async () => {
    const made = fresh(bucket)
    const manifest = made.backup(BACKUP)
    expect(await servers(open(bucket))).toContain(made.server)
    expect(await systemIdentifiers(open(bucket), made.server)).toEqual([made.home.systemIdentifier])
    const found = await all(backups(open(bucket), made.home))
    expect(found).toMatchObject([{ state: 'committed', backupId: manifest.backup_id, manifest, suspicions: [] }])
  })

  test('takes the earliest manifest of a backup and names a second one', async () => {
    const made = fresh(bucket)
    const manifest = made.backup(BACKUP, { storedAt: new Date('2026-11-22T10:05:01Z') })
    const forged = { ...manifest, stop_lsn: '0/100200' }
    const second = made.putManifest(forged, { storedAt: new Date('2026-11-22T10:05:02Z') })
    const found = await readBackup(open(bucket), made.home, manifest.backup_id)
    expect(found).toMatchObject({ state: 'committed', manifest, suspicions: [`${second.key} is a second manifest`] })
  })

  test('does not take a manifest whose bytes are not what its key says', async () => {
    const made = fresh(bucket)
    const { backup_id, ...manifest } = made.backup(BACKUP)
    const key = s3
      .bucket(bucket)
      .keys(`${made.server}/`)
      .find((one) => one.includes('/manifest-'))!
    s3.bucket(bucket).corrupt(key, () => Buffer.from(JSON.stringify({ ...manifest, backup_id, label: 'forged' })))
    const found = await readBackup(open(bucket), made.home, backup_id)
    expect(found).toMatchObject({ state: 'damaged', suspicions: [`${key} holds other bytes than its name says`] })
  })

  test('does not take a manifest that names objects of another backup', async () => {
    const made = fresh(bucket)
    const manifest = made.backup(BACKUP)
    const other = fresh(bucket)
    const copied = { ...manifest, server: other.server }
    other.putManifest(copied)
    const found = await readBackup(open(bucket), other.home, manifest.backup_id)
    expect(found).toMatchObject({ state: 'damaged', problem: expect.stringContaining('which is not its own') })
  })

  test('names a backup without a manifest as incomplete', async () => {
    const made = fresh(bucket)
    s3.bucket(bucket).put(`${made.server}/1/base/20261122T100000Z-0000/base/000000-0.tar.zst`, Buffer.from('x'))
    const home = { server: made.server, systemIdentifier: '1' }
    expect(await all(backups(open(bucket), home))).toMatchObject([{ state: 'incomplete' }])
  })

  test('takes the earliest of two segments under one name and names the other', async () => {
    const made = fresh(bucket)
    const second = made.segment(1, '0/100000', ['2026-11-22T10:00:00Z'], { storedAt: new Date(2_000) })
    const first = made.segment(1, '0/100000', [], { storedAt: new Date(1_000) })
    made.segment(1, '0/200000')
    const name = '000000010000000000000001'
    const listed = await all(walSegments(open(bucket), made.home, 1))
    const both = [{ name, object: { key: first } }, { object: { key: second } }]
    expect(listed).toMatchObject([both, [{}]])
    expect(await findSegment(open(bucket), made.home, name)).toMatchObject(both)
    expect(await all(walSegments(open(bucket), made.home, 1, '000000010000000000000002'))).toHaveLength(1)
  })
})

describe('the archive in a versioned bucket', () => {
  test('reads the earliest version of a key that was stored over, and names it', async () => {
    const made = fresh()
    const manifest = made.backup(BACKUP)
    const key = s3
      .bucket('versioned')
      .keys(`${made.server}/`)
      .find((one) => one.includes('/manifest-'))!
    s3.bucket('versioned').put(key, Buffer.from('{}'))
    const found = await readBackup(open(), made.home, manifest.backup_id)
    expect(found).toMatchObject({ state: 'committed', manifest, suspicions: [`${key} was stored over`] })
  })

  test('does not show what was deleted', async () => {
    const made = fresh()
    const manifest = made.backup(BACKUP)
    const bucket = s3.bucket('versioned')
    for (const key of bucket.keys(`${made.server}/`)) bucket.delete(key, new Date())
    expect(await all(open().list(`${made.server}/`))).toEqual([])
    expect(await readBackup(open(), made.home, manifest.backup_id)).toBeNull()
    expect(await all(backups(open(), made.home))).toEqual([])
    expect(await servers(open())).not.toContain(made.server)
  })
})

describe('an archive that fails', () => {
  const read = async () => {
    const made = fresh()
    const object = {
      key: made.segment(1, '0/100000'),
      storedAt: new Date(),
      versionId: null,
      laterVersions: 0,
      storedOver: false,
    }
    return { ...object, bytes: s3.bucket('versioned').get(object.key).length }
  }

  test.each([
    ['503', { kind: 'status', status: 503, code: 'SlowDown' }],
    ['500', { kind: 'status', status: 500, code: 'InternalError' }],
    ['a cut connection', { kind: 'down' }],
    ['a body that ends early', { kind: 'cut-body', afterBytes: 10 }],
  ] as const)('is asked again after %s', async (_, fault) => {
    const object = await read()
    fail({ op: 'GetObject', times: 2, fault })
    expect((await open().read(object)).length).toBe(object.bytes)
  })

  test('is given up as unavailable when patience ends', async () => {
    fail({ times: 1_000, fault: { kind: 'down' } })
    const failing = all(open('versioned', 300).list('x/'))
    await expect(failing).rejects.toMatchObject({ code: 'archive_unavailable', retryable: true })
  })

  test.each([
    ['AccessDenied', 403, /may not do that: AccessDenied/, /s3:ListBucketVersions/],
    ['InvalidAccessKeyId', 403, /key was not accepted/, /S3 key/],
    ['RequestTimeTooSkewed', 403, /clock/, /clock/],
    ['NoSuchBucket', 404, /no such bucket/, /POSTBOX_BUCKET/],
    ['PermanentRedirect', 301, /another region/, /POSTBOX_S3_REGION/],
  ])('refuses with %s at once, and says what to do', async (code, status, message, hint) => {
    fail({ times: 1_000, fault: { kind: 'status', status, code } })
    const before = s3.requests.length
    const refused = await all(open().list('x/')).catch((error: unknown) => error)
    expect(refused).toMatchObject({
      code: 'archive_refused',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    })
    expect(s3.requests.length - before).toBe(1)
  })

  test('refuses a wrong key and an unknown bucket for real', async () => {
    const wrong = sdkClient({ ...s3, secretKey: 'wrong' })
    await expect(all(openArchive(wrong, 'plain').list(''))).rejects.toThrow(/SignatureDoesNotMatch/)
    wrong.destroy()
    await expect(all(open('nowhere').list(''))).rejects.toThrow(/no such bucket/)
  })

  test('says that an object is gone', async () => {
    const object = { ...(await read()), key: 'gone' }
    await expect(open().read(object)).rejects.toMatchObject({ code: 'object_missing' })
  })

  test('ends at once when the command is interrupted', async () => {
    fail({ times: 1_000, fault: { kind: 'silence' } })
    const aborter = new AbortController()
    const listing = all(openArchive(client, 'plain', { signal: aborter.signal }).list(''))
    setImmediate(() => aborter.abort())
    await expect(listing).rejects.toMatchObject({ code: 'interrupted' })
  })
})

describe('the list of a server', () => {
  test('shows windows, gaps, and what is wrong', async () => {
    const made = fresh()
    const first = made.backup(BACKUP)
    made.segments(1, '0/100000', '0/300000')
    made.segment(1, '0/400000', ['2026-11-22T11:00:00Z'])
    made.backup({
      startedAt: '2026-11-22T12:00:00Z',
      stoppedAt: '2026-11-22T12:01:00Z',
      start: '0/400028',
      stop: '0/400100',
      previous: 'f'.repeat(64),
    })
    const late = { startedAt: '2026-11-22T13:00:00Z', stoppedAt: '2026-11-22T13:01:00Z' }
    made.backup({ ...late, start: '0/500028', stop: '0/600100' })
    const rival = made.segment(1, '0/200000', ['2026-11-22T11:00:00Z'])

    const listed = await listHome(open(), made.home)
    expect(listed.backups.map((one) => one.state)).toEqual(['wal missing', 'restorable', 'restorable'])
    expect(listed.backups[0]!.problems.join()).toContain('000000010000000000000005, 000000010000000000000006')
    expect(listed.backups[1]!.problems.join()).toContain('the manifest before it is not the one that it names')
    // Its WAL goes on to the end, but the last commit in it was before the backup.
    expect(listed.backups[1]!.window).toMatchObject({
      from_at: '2026-11-22T12:01:00.000000Z',
      to_at: '2026-11-22T12:01:00.000000Z',
    })
    expect(listed.backups[2]).toMatchObject({ backup_id: first.backup_id, window: { to_lsn: '0/300000', timeline: 1 } })
    expect(listed.wal_gaps).toEqual([{ timeline: 1, from_lsn: '0/300000', to_lsn: '0/400000' }])
    expect(listed.partings).toMatchObject([
      { timeline: 1, from_lsn: '0/200000', to_lsn: '0/300000', keys: [expect.any(String), rival] },
    ])
  })

  test('ends the window at the last commit before a gap', async () => {
    const made = fresh()
    made.backup(BACKUP)
    made.segment(1, '0/100000', ['2026-11-22T10:30:00.500Z'])
    made.segment(1, '0/200000')
    made.segment(1, '0/400000', ['2026-11-22T11:00:00Z'])
    const [backup] = (await listHome(open(), made.home)).backups
    expect(backup!.window).toEqual({
      from_at: '2026-11-22T10:05:00.000000Z',
      to_at: '2026-11-22T10:30:00.500000Z',
      from_lsn: '0/100100',
      to_lsn: '0/300000',
      timeline: 1,
      exact: true,
      checked: 'listed',
      checked_to_at: null,
    })
  })

  test('costs requests by backups and not by segments', async () => {
    const made = fresh()
    made.backup(BACKUP)
    for (let at = 1n; at < 1_500n; at++) {
      const name = segmentName({ timeline: 1, start: at * 1024n * 1024n }, made.segmentBytes)
      s3.bucket('versioned').put(`${made.walPrefix(1)}${name}-0123456789ab.zst`, Buffer.from('listed and never read'))
    }
    made.segment(1, formatLsn(1_500n * 1024n * 1024n), ['2026-11-22T11:00:00Z'])
    const before = s3.requests.length
    const [backup] = (await listHome(open(), made.home)).backups
    expect(backup!.window!.to_at).toBe('2026-11-22T11:00:00.000000Z')
    // a handful, and two pages of segments
    expect(s3.requests.length - before).toBeLessThan(16)
  })
})
