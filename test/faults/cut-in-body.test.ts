import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseManifestKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { Restores } from '../sandbox/restored.js'
import { CUTS, CuttingProxy, type CutPost } from '../sandbox/s3/cutting-proxy.js'
import { until } from '../sandbox/until.js'
import { missingRows, startWorkload, type Workload } from '../sandbox/workload.js'
import { disagreements } from './agreement.js'
import { writeNoise } from './observe.js'
import { startPlainly } from './plain-restore.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer
let proxy: CuttingProxy
let restores: Restores
let workload: Workload

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  restores = new Restores(backedUp.s3, 'backups')
  proxy = await CuttingProxy.start(backedUp.s3.endpoint)
  // The grant that ends last is used.
  await backedUp.installGrant('13h', proxy.endpoint)
  await backedUp.postgres.query("select backup.configure('wal_interval', '50ms')")
  // Larger than what is sent in one piece.
  await backedUp.postgres.query("select backup.configure('part_bytes', '2MB')")
  workload = await startWorkload(backedUp.postgres)
})

afterAll(async () => {
  await restores.remove()
  await backedUp.remove()
  await proxy.close()
})

showLogOfFailures(() => backedUp)

/** Keys that are not there in as many versions as were stored: those whose answer was cut and those that were not cut. */
function wronglyStored(posts: readonly CutPost[]): string[] {
  return [...new Set(posts.map(({ key }) => key))].filter((key) => {
    const answered = posts.filter((post) => post.key === key && post.cut.in === 'answer')
    return backedUp.bucket.versions(key).length !== answered.length + 1
  })
}

test('a post whose connection is cut at any byte is made again, and all that is stored is whole', async () => {
  const segments = proxy.cut({ key: /\/wal\//, cuts: CUTS })
  const tails = proxy.cut({ key: /\/tail\//, cuts: CUTS })
  const parts = proxy.cut({ key: /\/base\/[^/]+\/base\//, cuts: CUTS })
  const manifests = proxy.cut({ key: /\/(?:backup_)?manifest-/, cuts: CUTS, perKey: 2 })
  // A part for each cut.
  await writeNoise(backedUp, 2 * CUTS.length)
  while (manifests.length < CUTS.length) {
    const jobId = await backedUp.backUp()
    expect(await backedUp.job(jobId)).toMatchObject({ attempts: 1, error_code: null })
    await backedUp.postgres.query('drop table if exists noise')
  }
  const kinds = [segments, tails, parts, manifests]
  await until('every cut was made', () => kinds.every(({ length }) => length === CUTS.length), 60_000)
  await workload.pause()
  expect(await disagreements(backedUp)).toEqual([])
  expect(kinds.map(wronglyStored)).toEqual([[], [], [], []])
  const broken = CUTS.filter((cut) => cut.in === 'body').length * kinds.length
  // One that is on its way has no answer either.
  const unanswered = () => backedUp.s3.requests.filter(({ status }) => status === null)
  await until('only those that were cut have no answer', () => unanswered().length === broken)
})

test('after all that every row is restored, with plain tools and when everything else is lost', async () => {
  workload.resume()
  const { length } = workload.acknowledged
  await until('rows are written', () => workload.acknowledged.length > length + 50)
  await workload.pause()
  await backedUp.untilDurable()
  const rows = await snapshotRows(backedUp.postgres)
  const manifest = backedUp.bucket.keys().findLast((key) => parseManifestKey(key))!
  await Promise.all([backedUp.postgres.kill9(), backedUp.worker.kill9()])
  await workload.stop()

  const restored = await restores.recover()
  expect(await missingRows(restored, workload.acknowledged)).toEqual([])
  expect(diffSnapshots(rows, await snapshotRows(restored), { recovered: true })).toEqual([])
  const plain = await startPlainly(backedUp.bucket, manifest)
  expect(diffSnapshots(rows, await snapshotRows(plain), { recovered: true })).toEqual([])
  await plain.remove()
})
