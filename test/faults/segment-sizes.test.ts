import { afterEach, expect, test } from 'vitest'
import { parseSegmentKey, parseTailKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { Restores } from '../sandbox/restored.js'
import { disagreements, storedManifests } from './agreement.js'
import { writeNoise } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer
let restores: Restores

afterEach(async () => {
  await restores.remove()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

test.each([1, 64])(
  'a server with segments of %i MB is restored, from whole segments and from tails',
  async (megabytes) => {
    backedUp = await BackedUpServer.start({ initdb: [`--wal-segsize=${megabytes}`] })
    restores = new Restores(backedUp.s3, 'backups')
    await backedUp.backUp()
    expect(storedManifests(backedUp)[0]!.wal_segment_bytes).toBe(megabytes * 1024 * 1024)
    // More than one segment of either size, of bytes that hardly compress.
    await writeNoise(backedUp, megabytes + 6)
    expect(await disagreements(backedUp)).toEqual([])
    await backedUp.postgres.query('create table late as select n, md5(n::text) as text from generate_series(1, 2000) n')
    await backedUp.untilDurable()
    const before = await snapshotRows(backedUp.postgres)
    await backedUp.postgres.kill9()
    await backedUp.worker.kill9()

    const names = backedUp.bucket.keys().flatMap((key) => parseSegmentKey(key)?.name ?? [])
    const tailed = backedUp.bucket.keys().flatMap((key) => parseTailKey(key)?.name ?? [])
    expect(new Set(names).size).toBeGreaterThan(2)
    expect(tailed.at(-1)! > names.at(-1)!).toBe(true)
    const after = await snapshotRows(await restores.recover())
    expect(diffSnapshots(before, after, { recovered: true })).toEqual([])
  },
)
