import { afterEach, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { disagreements, storedManifests } from './agreement.js'
import { writeNoise } from './observe.js'
import { showLogOfFailures } from './show-log.js'

let backedUp: BackedUpServer

afterEach(async () => {
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

test.each([1, 64])('a server with segments of %i MB is backed up, its WAL too', async (megabytes) => {
  backedUp = await BackedUpServer.start({ initdb: [`--wal-segsize=${megabytes}`] })
  await backedUp.backUp()
  expect(storedManifests(backedUp)[0]!.wal_segment_bytes).toBe(megabytes * 1024 * 1024)
  // More than one segment of either size, of bytes that hardly compress.
  await writeNoise(backedUp, megabytes + 6)
  await backedUp.backUp()
  expect(await disagreements(backedUp)).toEqual([])
})
