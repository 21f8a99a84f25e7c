import { createHash } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { dumpManifestKey, formatBackupId, historyKey, manifestKey, parseSegmentKey } from '../../src/box/key-names.js'
import type { Manifest } from '../../src/box/manifest.js'
import { listAll } from '../../src/commands/list.js'
import type { Archive } from '../../src/keyholder/archive.js'
import { fleetStatus } from '../../src/keyholder/fleet/fleet-status.js'
import { standardSettings } from '../../src/keyholder/fleet/status-settings.js'
import type { StatusReport } from '../../src/keyholder/fleet/status-report.js'
import { planRestore, type RestorePlan } from '../../src/keyholder/plan.js'
import { openDeletableArchive, type DeletableArchive } from '../../src/keyholder/prune/deletable-archive.js'
import { prune } from '../../src/keyholder/prune/prune.js'
import { rebuildScript } from '../../src/keyholder/rebuild/rebuild.js'
import { parseTarget } from '../../src/keyholder/target.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { ago, LAST_2 } from '../sandbox/prunable-archive.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

// What whoever holds a grant can say in manifests and histories: it must stop no command, for no server.

let s3: LocalS3
let client: S3Client
let archive: DeletableArchive
let made: SyntheticArchive
let honest: Manifest
let count = 0

beforeAll(async () => {
  s3 = await startS3({ buckets: Array.from({ length: 60 }, (_, n) => ({ name: `b${n}`, versioned: true })) })
  client = sdkClient(s3)
})

afterAll(async () => {
  client.destroy()
  await s3.close()
})

// Two servers, each with a backup of three days ago and two segments, with commits a minute and an hour behind it.
beforeEach(() => {
  const bucket = `b${count++}`
  archive = openDeletableArchive(client, bucket, { patienceMs: 1 })
  for (const server of ['db2', 'db1']) {
    made = new SyntheticArchive(s3.bucket(bucket), server)
    made.clock = () => ago(3)
    honest = made.backup({ startedAt: at(0), stoppedAt: at(60_000), start: '0/100028', stop: '0/100100' })
    made.segment(1, '0/100000', [at(120_000)])
    made.segment(1, '0/200000', [at(3_600_000)])
  }
  made.clock = () => ago(1)
})

const at = (ms: number): string => new Date(ago(3).getTime() + ms).toISOString()
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()
const BETWEEN = `time=${at(600_000)}`

function plan(target: string, backupId: string | null = null): Promise<RestorePlan> {
  const chosen = { server: 'db1', systemIdentifier: null, backupId }
  return planRestore(archive, { ...chosen, target: parseTarget(target), inclusive: true, timeline: 'latest' })
}

function status(of: Archive, exact: boolean): Promise<StatusReport> {
  const known = { file: '', servers: [] }
  const settings = { settings: standardSettings, exact, jobs: 2, now: ago(0) }
  return fleetStatus(of, { bucket: 'b', server: null, known, ...settings })
}

async function rebuild(readWal: boolean): Promise<string> {
  let text = ''
  const request = { home: made.home, readWal, forgetMissing: false, note: () => undefined }
  for await (const piece of rebuildScript(archive, request)) {
    if (piece.kind === 'copy') for await (const row of piece.rows) text += row
  }
  return text
}

/** Every command answers, of both servers, and the honest backup can be restored to before. */
async function expectAnswers(): Promise<void> {
  for (const exact of [true, false]) {
    const listed = await listAll(archive, null, exact)
    expect(listed.map(({ server, error }) => [server, error])).toEqual([
      ['db1', null],
      ['db2', null],
    ])
    const states = listed.map(({ backups }) => backups.find((one) => one.backup_id === honest.backup_id)?.state)
    expect(states).toEqual(['restorable', 'restorable'])
    const { servers } = await status(archive, exact)
    expect(
      servers.map(({ server, warnings }) => [server, warnings.some(({ name }) => name === 'cannot_be_told')]),
    ).toEqual([
      ['db1', false],
      ['db2', false],
    ])
  }
  const { problems } = await verifyHome(archive, made.home, { only: null }, () => Promise.resolve())
  expect(problems.filter(({ id, severity }) => id === honest.backup_id && severity === 'error')).toEqual([])
  await prune(archive, { server: 'db1', retention: LAST_2, drop: [], confirm: false })
  for (const readWal of [false, true]) expect(await rebuild(readWal)).toContain(honest.backup_id)
  for (const backupId of [null, honest.backup_id]) {
    const planned = await plan(BETWEEN, backupId)
    expect([planned.backup.backupId, planned.timeline, planned.target.kind]).toEqual([honest.backup_id, 1, 'time'])
  }
  expect((await plan('latest', honest.backup_id)).backup.backupId).toBe(honest.backup_id)
}

/** A manifest that is the honest one but for its id and what `change` has changed. */
function forge(change: Record<string, unknown>, id = formatBackupId(ago(2), sha256(Buffer.from('forged')))): void {
  const text = JSON.stringify({ ...honest, backup_id: id, ...change }).replaceAll(`/${honest.backup_id}/`, `/${id}/`)
  putManifest(id, Buffer.from(text))
  for (const { key } of [...honest.archives[0]!.parts, honest.backup_manifest]) {
    made.bucket.put(key.replace(honest.backup_id, id), made.bucket.get(key), { storedAt: ago(1) })
  }
}

function putManifest(id: string, content: Buffer): void {
  made.bucket.put(manifestKey(made.home, id, sha256(content)), content, { storedAt: ago(1) })
}

const BIG = Number.MAX_SAFE_INTEGER

describe('every command answers', () => {
  test.each<[string, Record<string, unknown>]>([
    ['segments of no bytes', { wal_segment_bytes: 0 }],
    ['segments of less than no bytes', { wal_segment_bytes: -1048576 }],
    ['segments of three bytes', { wal_segment_bytes: 3 }],
    ['segments as large as a number', { wal_segment_bytes: BIG }],
    ['segments of another size', { wal_segment_bytes: 1024 ** 3 }],
    ['all WAL that there can be', { start_lsn: '0/0', stop_lsn: 'FFFFFFFF/FFFFFFFF' }],
    ['much WAL', { start_lsn: '0/100028', stop_lsn: '8000/0' }],
    ['a stop before its start', { start_lsn: '0/200028', stop_lsn: '0/100100' }],
    ['no WAL at all', { start_lsn: '0/0', stop_lsn: '0/0' }],
    ['a timeline that no name of WAL can hold', { timeline: 2 ** 32 }],
    ['the last timeline', { timeline: 2 ** 32 - 1 }],
    ['times of no age', { started_at: '0000-01-01T00:00:00Z', stopped_at: '9999-12-31T23:59:59.999Z' }],
    ['the end of another key', { stop_segment_key: 'db1/x' }],
    ['a huge version', { postgres_version_num: -BIG }],
  ])('to a manifest with %s', async (_, change) => {
    forge(change)
    await expectAnswers()
  })

  test('to the id of a time that there is not', async () => {
    forge({}, '20269999T999999Z-ffff')
    made.bucket.put(`db1/${made.home.systemIdentifier}/base/20269999T999999Z-fffe/x`, Buffer.from('x'))
    await expectAnswers()
  })

  test.each([
    ['nothing', ''],
    ['null', 'null'],
    ['a number', '5'],
    ['nothing but brackets', '['.repeat(200_000)],
    ['objects in objects', '{"a":'.repeat(100_000) + '1' + '}'.repeat(100_000)],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0])],
  ])('to a manifest that is %s', async (_, content) => {
    putManifest(formatBackupId(ago(2), Buffer.from('abcd')), Buffer.from(content))
    await expectAnswers()
  })

  test.each([
    ['a position that there is not', '1\tFFFFFFFFF/0\tx\n'],
    ['the last position', '1\tFFFFFFFF/FFFFFFFF\tx\n'],
    ['no position', '1\tx\n'],
    ['itself', '9\t0/280000\tx\n'],
    ['a later timeline', '1\t0/180000\tx\n\n4294967295\t0/280000\tx\n'],
    ['no timeline', '0\t0/180000\tx\n'],
    ['a timeline that no name can hold', '99999999999999999999999999\t0/180000\tx\n'],
    ['timelines that do not ascend', '2\t0/180000\tx\n1\t0/280000\tx\n'],
    ['nothing', ''],
    ['a line without an end', 'x'.repeat(1_000_000)],
    ['a timeline that was left far away, and another here', '1\tFFFFFFFF/0\tx\n5\t0/280000\tx\n'],
  ])('to a history of %s', async (_, text) => {
    const raw = Buffer.from(text)
    made.bucket.put(historyKey(made.home, 9, sha256(raw)), raw, { storedAt: ago(1) })
    const last = made.bucket.keys(made.walPrefix(1)).at(-1)!
    made.segment(9, '0/200000', [at(3_600_000)], { previous: parseSegmentKey(last)!.sha12 })
    made.tails(9, '0/300000', [8192])
    await expectAnswers()
  })

  test('to a history of other bytes than its name says', async () => {
    made.bucket.put(historyKey(made.home, 9, sha256(Buffer.from('other'))), Buffer.from('1\t0/280000\tx\n'))
    made.segment(9, '0/200000')
    await expectAnswers()
    expect((await plan('latest')).notes).toContainEqual(expect.stringMatching(/^timeline 9 cannot be followed: /))
  })

  test.each<[string, Record<string, unknown>]>([
    ['a timeline that no name of WAL can hold', { timeline: 2 ** 32 }],
    ['a time of no age', { snapshot_at: '0000-01-01T00:00:00Z' }],
    ['a manifest before it that is none', { previous_manifest: 'x' }],
  ])('to a dump with %s', async (_, change) => {
    const dump = made.dump(ago(2).toISOString())
    const [key] = made.bucket.keys(`db1/${made.home.systemIdentifier}/dump/${dump.dump_id}/manifest-`)
    made.bucket.remove(key!)
    const content = Buffer.from(JSON.stringify({ ...dump, ...change }))
    made.bucket.put(dumpManifestKey(made.home, dump.dump_id, sha256(content)), content, { storedAt: ago(1) })
    await expectAnswers()
  })
})

describe('a server of whose archive something is wrong that nobody thought of', () => {
  /** An archive whose listings below a prefix fail. */
  const failing = (thrown: Error): Archive => ({
    ...archive,
    list(prefix, ...rest) {
      if (prefix.startsWith('db1/')) throw thrown
      return archive.list(prefix, ...rest)
    },
  })

  test('is critical in a report that has all others', async () => {
    const { servers, level } = await status(failing(new TypeError('a defect')), false)
    expect(servers.map(({ server, current }) => [server, current])).toEqual([
      ['db1', true],
      ['db2', true],
    ])
    expect(servers[0]).toMatchObject({
      system_identifier: made.home.systemIdentifier,
      level: 'crit',
      warnings: [{ name: 'cannot_be_told', message: expect.stringContaining('internal: a defect') }],
    })
    expect(level).toBe('crit')
  })

  test('is a line of a list that has all others', async () => {
    const [db1, db2] = await listAll(failing(new TypeError('a defect')), null, false)
    expect(db1).toMatchObject({ server: 'db1', backups: [], error: 'internal: a defect' })
    expect(db2).toMatchObject({ server: 'db2', error: null, backups: [{ state: 'restorable' }] })
  })
})
