import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseHistoryKey } from '../../src/box/key-names.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postbox } from '../sandbox/command.js'
import { scratchDir } from '../sandbox/postgres.js'
import { disagreements } from './agreement.js'
import { hold } from './hold.js'
import { checkOf } from './observe.js'
import { promote } from './promote.js'
import { showLogOfFailures } from './show-log.js'

const WAL_OF_2 = /\/(wal|tail)\/00000002\//

let backedUp: BackedUpServer

afterEach(() => backedUp.remove())

showLogOfFailures(() => backedUp)

test("a timeline's history is stored before any of its WAL, and never another one in its place", async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  const { postgres, bucket, s3 } = backedUp
  await backedUp.backUp()
  await backedUp.worker.stop()
  await promote(postgres)

  // The worker is killed between the two.
  const held = hold(s3, 'before-store', { op: 'PostObject', key: WAL_OF_2 })
  await backedUp.resume()
  await held.reached()
  const histories = () => bucket.keys().filter((key) => parseHistoryKey(key))
  const [history] = histories() as [string]
  expect(parseHistoryKey(history)!.timeline).toBe(2)
  expect(bucket.keys().filter((key) => WAL_OF_2.test(key))).toEqual([])
  await backedUp.worker.kill9()
  held.release()
  await backedUp.resume()
  await backedUp.storeAllWal()
  expect(await disagreements(backedUp)).toEqual([])
  expect(bucket.keys().filter((key) => WAL_OF_2.test(key))).not.toEqual([])
  expect(new Set(bucket.versions(history).map(({ md5 }) => md5)).size).toBe(1)

  // Whoever comes with another one is refused, and the first stays.
  const path = join(await scratchDir('other'), '00000002.history')
  const text = await readFile(join(postgres.dataDir, 'pg_wal/00000002.history'), 'utf8')
  await writeFile(path, text.replace('no recovery target specified', 'another promotion'))
  const versions = bucket.versions(history).length
  const { code, stderr } = await postbox(['archive-wal', path], backedUp.databaseEnv())
  expect([code, stderr]).toEqual([1, expect.stringContaining('timeline 2 was stored before with other content')])
  expect([histories(), bucket.versions(history).length]).toEqual([[history], versions])
  expect(await checkOf(backedUp, 'worker')).toMatchObject({
    state: 'crit',
    hint: expect.stringContaining('promoted to the same timeline') as string,
  })
})
