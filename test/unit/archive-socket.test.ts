import { once } from 'node:events'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import net, { type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Box } from '../../src/box/box.js'
import type { Catalog } from '../../src/catalog/catalog.js'
import { ArchiveChannel } from '../../src/worker/archive-channel.js'
import { offerToWorker, type WalFile } from '../../src/worker/archive-client.js'
import { ArchiveSocket } from '../../src/worker/archive-socket.js'
import { until } from '../sandbox/until.js'

const FILE = historyOf(2)

let directory: string
let path: string
let ending: AbortController
let running: Promise<void>
let posted: string[]
let stopped: Socket | null

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pb-socket-'))
  path = join(directory, 'own', 'worker.sock')
  ending = new AbortController()
  posted = []
  stopped = null
  const catalog = {
    walIdentity: async () => ({ system_identifier: '7000', segment_bytes: 1024 * 1024, in_recovery: false }),
    knowsTimeline: async () => false,
    recordTimeline: async () => undefined,
  }
  const box = { post: async ({ key }: { key: string }) => void posted.push(key) }
  const socket = new ArchiveSocket({
    catalog: catalog as unknown as Catalog,
    box: box as unknown as Box,
    server: () => 'db1',
    compressionLevel: () => 3,
    streamed: null,
    path,
    log: pino({ level: 'silent' }),
    pace: { waitingEveryMs: 20, silenceMs: 500 },
  })
  running = socket.run(ending.signal)
})

afterEach(async () => {
  ending.abort()
  await running
  stopped?.destroy()
  await rm(directory, { recursive: true })
})

function historyOf(timeline: number): WalFile {
  const content = Buffer.from(`${timeline - 1}\t0/3000000\tno recovery target specified\n`)
  const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`
  return { name, content, sha256: createHash('sha256').update(content).digest() }
}

test('a client that stops before it sends what it offered does not keep the next one waiting', async () => {
  const socket = await until('the worker listens', async () => {
    const connecting = net.connect(path)
    await once(connecting, 'connect')
    return connecting
  })
  stopped = socket
  const channel = new ArchiveChannel(socket, 60_000)
  const { name, content, sha256 } = FILE
  channel.send({ file: name, bytes: content.length, sha256: sha256.toString('hex'), head: '' })
  for (let state = ''; state !== 'send';) ({ state } = (await channel.readLine()) as { state: string })

  await offerToWorker(path, historyOf(3))
  expect(posted).toEqual([expect.stringContaining('00000003')])
  // It is not listened to any more either.
  socket.write(content)
  for (let line: unknown = ''; line !== null;) line = await channel.readLine()
  expect(posted).toHaveLength(1)
})
