import { createHash } from 'node:crypto'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseSegmentKey, parseTailKey, segmentKey, sha12, timelinePrefix, type Home } from '../../src/box/key-names.js'
import { parseSegmentName } from '../../src/wal/segment.js'
import { ArchivingServer } from '../sandbox/archiving.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { makeSegment } from '../sandbox/make-wal.js'
import { Restores } from '../sandbox/restored.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'
import { disagreements, storedManifests } from './agreement.js'
import { recordAllWal, writeSegments } from './observe.js'
import { showLogOfFailures } from './show-log.js'

const SEGMENT_BYTES = 1024 * 1024
const PAGE_BYTES = 8192
const ANOTHER_SYSTEM = '7000000000000000001'

let backedUp: BackedUpServer
let archiving: ArchivingServer
let restores: Restores
let home: Home

beforeAll(async () => {
  backedUp = await BackedUpServer.start({
    workerAsSandboxUser: true,
    initdb: ['--wal-segsize=1'],
    settings: { archive_mode: 'on', wal_keep_size: '64MB' },
  })
  restores = new Restores(backedUp.s3, 'backups')
  archiving = new ArchivingServer(backedUp)
  await archiving.byWorker()
  await backedUp.backUp()
  home = { server: 'db1', systemIdentifier: storedManifests(backedUp)[0]!.system_identifier }
  await backedUp.postgres.query('create table t as select n, md5(n::text) as text from generate_series(1, 2000) n')
  await writeSegments(backedUp, 3)
})

afterAll(async () => {
  await restores.remove()
  await backedUp.remove()
  await removeScratch()
})

showLogOfFailures(() => backedUp)

interface Content {
  content: Buffer
  sha256: Buffer
}

/** What a server of another system would have written under this name. */
function foreignSegment(name: string): Content {
  const { start: lsn } = parseSegmentName(name, SEGMENT_BYTES)
  const content = makeSegment({
    timeline: 1,
    lsn,
    segmentBytes: SEGMENT_BYTES,
    systemIdentifier: ANOTHER_SYSTEM,
    commits: [BigInt(Date.now()) * 1000n],
  })
  return contentOf(content)
}

/** A segment of this server that ends early, as one is left behind at a promotion. */
async function partialSegment(name: string): Promise<Content> {
  const content = await readFile(archiving.walPath(name))
  return contentOf(content.fill(0, PAGE_BYTES))
}

const contentOf = (content: Buffer): Content => ({ content, sha256: createHash('sha256').update(content).digest() })

test('a label, a partial and a foreign segment that are offered to archive-wal are not stored as WAL', async () => {
  const name = await archiving.writeSegment()
  await archiving.archived(name)
  // Postgres has offered the label of the base backup by itself.
  expect(await archiving.archiver()).toMatchObject({ failed_count: '0' })
  await recordAllWal(backedUp)
  const directory = await scratchDir('foreign')
  const label = join(directory, `${name}.00000028.backup`)
  const partial = join(directory, `${name}.partial`)
  await writeFile(label, `START WAL LOCATION: 0/2000028 (file ${name})\n`)
  await copyFile(archiving.walPath(name), partial)
  const { content, sha256 } = foreignSegment(name)
  const foreign = join(directory, name)
  await writeFile(foreign, content)
  for (const env of [{ POSTBOX_SOCKET: backedUp.databaseEnv().POSTBOX_SOCKET! }, archiving.aloneEnv]) {
    expect(await archiving.call(label, env)).toMatchObject({ code: 0, stderr: '' })
    expect(await archiving.call(partial, env)).toMatchObject({ code: 0 })
    const refused = await archiving.call(foreign, env)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('(wal_invalid)')
  }
  const keys = backedUp.bucket.keys()
  expect(keys.filter((key) => /\.(partial|backup)/.test(key) || key.includes(sha12(sha256)))).toEqual([])
  expect(archiving.versions()[name]).toBe(1)
  expect(await disagreements(backedUp)).toEqual([])
})

test('such files that lie in the bucket beside WAL, and before its end, do not get into a restore', async () => {
  await backedUp.postgres.query('create table late as select n, md5(n::text) as text from generate_series(1, 2000) n')
  await backedUp.untilDurable()
  const before = await snapshotRows(backedUp.postgres)
  await backedUp.postgres.kill9()
  await backedUp.worker.kill9()

  const { bucket } = backedUp
  const wholes = bucket.keys().flatMap((key) => parseSegmentKey(key) ?? [])
  const unfinished = bucket
    .keys()
    .flatMap((key) => parseTailKey(key) ?? [])
    .at(-1)!
  expect(unfinished.name > wholes.at(-1)!.name).toBe(true)
  for (const { name, previous } of [...wholes.slice(-2), unfinished]) {
    const foreign = foreignSegment(name)
    const partial = await partialSegment(name)
    const at = `${timelinePrefix(home, 1)}${name}`
    bucket.put(at, foreign.content)
    bucket.put(`${at}.partial`, partial.content)
    // Named as WAL is here, but for what they are.
    bucket.put(`${at}.partial-${previous}-${sha12(partial.sha256)}.zst`, zstdCompressSync(partial.content))
    bucket.put(`${at}.00000028.backup-${previous}-${sha12(partial.sha256)}.zst`, zstdCompressSync(partial.content))
    // As the worker of another system would have stored it.
    const segment = parseSegmentName(name, SEGMENT_BYTES)
    const key = segmentKey(home, segment, SEGMENT_BYTES, foreign.sha256, '0123456789ab')
    bucket.put(key, zstdCompressSync(foreign.content))
  }
  const after = await snapshotRows(await restores.recover())
  expect(diffSnapshots(before, after, { recovered: true })).toEqual([])
})
