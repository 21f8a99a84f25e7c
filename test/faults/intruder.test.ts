import { createHash } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Grant } from '../../src/box/grant.js'
import { manifestKey, parseSegmentKey, segmentKey } from '../../src/box/key-names.js'
import { parseManifest, type Manifest } from '../../src/box/manifest.js'
import { parseSegmentName } from '../../src/wal/segment.js'
import { postAs, tryToHarm } from '../demo/intruder.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postboxOk } from '../sandbox/command.js'
import { diffSnapshots, snapshotRows, type Snapshot } from '../sandbox/compare.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { Restores } from '../sandbox/restored.js'
import { TestIssuer } from '../sandbox/test-issuer.js'
import { showLogOfFailures } from './show-log.js'

// The intruder has a root shell on the database's host: the grant, the issuer's token, and a superuser's session. What is
// known of such a one stands in docs/threat-model.md, which names these tests.
let backedUp: BackedUpServer
let issuer: TestIssuer
let grant: Grant
/** when all was right, and what there was */
let at: string
let before: Snapshot
let honest: Manifest
/** keys of what was put behind the last segment */
const forgedWal: string[] = []

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  issuer = await TestIssuer.start(backedUp)
  const { postgres, bucket } = backedUp
  await postgres.query('create table ledger as select i, md5(i::text) as entry from generate_series(1, 2000) i')
  await backedUp.backUp()
  await postgres.query(`insert into ledger select i, 'after the backup' from generate_series(2001, 3000) i`)
  const key = bucket.keys().find((one) => /\/manifest-[0-9a-f]{12}\.json$/.test(one))!
  honest = parseManifest(key, bucket.get(key))
  before = await snapshotRows(postgres)
  at = (await postgres.query<{ at: string }>('select clock_timestamp()::text at'))[0]!.at
  // A commit after it, without which there is nothing to stop before.
  await postgres.query('create table later ()')
  await backedUp.storeAllWal()
})

afterAll(async () => {
  await issuer.close()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

test('finds a grant and a token, and no key that reads, lists or deletes', async () => {
  const [row] = await backedUp.postgres.query<{ grant: Grant }>('select backup._grant() as grant')
  grant = row!.grant
  const attempts = await tryToHarm(grant, honest.archives[0]!.parts[0]!.key)
  expect(attempts.slice(0, -1).filter(({ answer }) => !answer.startsWith('refused: 4'))).toEqual([])
  expect(attempts.length).toBeGreaterThan(10)
})

test('gets from the issuer, with the token, grants for this server alone', async () => {
  const { POSTBOX_ISSUER_URL: url, POSTBOX_ISSUER_TOKEN: token } = issuer.workerEnv
  const headers = { authorization: `Bearer ${token!}`, 'content-type': 'application/json' }
  const ask = (path: string, method = 'POST') =>
    fetch(`${url!}${path}`, { method, headers, ...(method === 'POST' ? { body: '{"server":"db2"}' } : {}) })
  const { grant: given } = (await (await ask('/v1/grants')).json()) as { grant: Grant }
  expect(given).toMatchObject({ server: 'db1', key_prefix: 'db1/' })
  for (const path of ['/', '/v1/servers', '/v1/grants/db2', '/keyholder.yaml']) {
    expect((await ask(path, 'GET')).status).toBe(404)
  }
})

test('posts garbage over everything, and backups that claim to be older than the break-in', async () => {
  const { s3, bucket, postgres } = backedUp
  await backedUp.worker.kill9()
  // Two hours after all was right.
  s3.shiftClock(120)
  for (const key of bucket.keys('db1/')) expect(await postAs(grant, key)).toMatch(/^201/)
  const home = { server: 'db1', systemIdentifier: honest.system_identifier }
  const second = Buffer.from(JSON.stringify({ ...honest, label: 'forged', archives: [] }))
  await postAs(grant, manifestKey(home, honest.backup_id, sha256(second)), second)
  await postForgedBackup(home)
  await postForgedWal(home)
  const segment = bucket.keys('db1/').find((key) => /\/wal\/.*\.zst$/.test(key))!
  await postAs(grant, segment.replace(/[0-9a-f]{12}\.zst$/, '0123456789ab.zst'))
  // And in the database, whatever a superuser can.
  await postgres.query('drop schema backup cascade; drop table ledger')
  s3.shiftClock(0)
})

/** A newer backup by its name, which says that it ended before all was right; its parts are garbage with true hashes. */
async function postForgedBackup(home: { server: string; systemIdentifier: string }): Promise<void> {
  const backup_id = honest.backup_id.replace(/.{4}$/, 'ffff')
  const garbage = Buffer.from('garbage')
  const forge = async <T extends { key: string }>(part: T) => {
    const key = part.key
      .replace(honest.backup_id, backup_id)
      .replace(/[0-9a-f]{12}(\.[a-z.]+)$/, `${sha256(garbage).toString('hex').slice(0, 12)}$1`)
    await postAs(grant, key, garbage)
    return { ...part, key, bytes: garbage.length, sha256: sha256(garbage).toString('hex') }
  }
  const archives = await Promise.all(
    honest.archives.map(async (one) => ({ ...one, parts: await Promise.all(one.parts.map(forge)) })),
  )
  const forged = { ...honest, backup_id, archives, backup_manifest: await forge(honest.backup_manifest) }
  const content = Buffer.from(JSON.stringify(forged))
  expect(await postAs(grant, manifestKey(home, backup_id, sha256(content)), content)).toMatch(/^201/)
}

/**
 * Two segments behind the last one, each of which says that it follows: a single byte, and one whose header says that pages
 * have no bytes.
 */
async function postForgedWal(home: { server: string; systemIdentifier: string }): Promise<void> {
  const segmentBytes = 1024 * 1024
  const last = backedUp.bucket.keys('db1/').findLast((key) => parseSegmentKey(key) !== null)!
  const { name, sha12: mark } = parseSegmentKey(last)!
  const { timeline, start } = parseSegmentName(name, segmentBytes)
  const next = (count: number) => ({ timeline, start: start + BigInt(count * segmentBytes) })
  const byte = Buffer.from('x')
  forgedWal.push(segmentKey(home, next(1), segmentBytes, sha256(byte), mark))
  expect(await postAs(grant, forgedWal[0]!, byte)).toMatch(/^201/)
  const pageless = makeSegment({ ...next(2), lsn: next(2).start, segmentBytes, ...home })
  pageless.writeUInt32LE(0, 36)
  const { sha12: front } = parseSegmentKey(forgedWal[0]!)!
  forgedWal.push(segmentKey(home, next(2), segmentBytes, sha256(pageless), front))
  expect(await postAs(grant, forgedWal[1]!, zstdCompressSync(pageless))).toMatch(/^201/)
}

test('can post nothing once the grant has ended', async () => {
  backedUp.s3.shiftClock(13 * 60)
  expect(await postAs(grant, 'db1/late')).toMatch(/^refused: 403/)
  backedUp.s3.shiftClock(0)
})

test('is seen by the keyholder, by name of what was touched', async () => {
  const found = await postboxOk(['verify', '--server', 'db1'], backedUp.keyholderEnv)
  for (const key of backedUp.bucket.keys('db1/').filter((one) => backedUp.bucket.versions(one).length > 1)) {
    if (key.split('/').length > 2) expect(found).toContain(key)
  }
  for (const key of forgedWal) expect(found).toContain(`recovery cannot go through ${key}`)
  const forged = honest.backup_id.replace(/.{4}$/, 'ffff')
  expect(found).toMatch(new RegExp(`${forged}: suspicious: it says that it ended at .*, and was stored at `))
  expect(found).toContain('is a second manifest')
  const listed = await postboxOk(['list', '--server', 'db1'], backedUp.keyholderEnv)
  expect(listed).toContain('is stored in two ways')
})

test('has not changed the past: a restore to the time before is exact', async () => {
  const restores = new Restores(backedUp.s3, 'backups')
  try {
    const restored = await restores.recover(['--target', `time=${at}`])
    expect(diffSnapshots(before, await snapshotRows(restored), { recovered: true })).toEqual([])
  } finally {
    await restores.remove()
  }
})

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()
