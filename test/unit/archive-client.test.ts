import { createHash, randomBytes } from 'node:crypto'
import { chmod, lstat, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ArchiveChannel } from '../../src/worker/archive-channel.js'
import { offerToWorker } from '../../src/worker/archive-client.js'
import { listenPrivately, systemIdentifierOf, type PrivateSocket } from '../../src/worker/private-socket.js'

const content = randomBytes(300_000)
const file = { name: '000000010000000000000001', content, sha256: createHash('sha256').update(content).digest() }

let directory: string
let path: string
let listening: PrivateSocket[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pb-socket-'))
  path = join(directory, 'own', 'worker.sock')
  listening = []
})

afterEach(async () => {
  for (const each of listening) await each.close()
  await rm(directory, { recursive: true })
})

async function listen(answer: (channel: ArchiveChannel, socket: Socket) => Promise<void>): Promise<PrivateSocket> {
  const socket = await listenPrivately(path, (connection) => {
    void answer(new ArchiveChannel(connection, 10_000), connection)
  })
  listening.push(socket)
  return socket
}

/** A worker that takes no bytes. */
const knowsAll = (channel: ArchiveChannel): Promise<void> =>
  channel.readLine().then(() => {
    channel.send({ state: 'known' })
  })

describe('archive-wal at the worker', () => {
  test('sends what was asked for, byte for byte, after any number of signs of life', async () => {
    const received = Buffer.alloc(content.length)
    let offer: unknown
    await listen(async (channel) => {
      offer = await channel.readLine()
      for (let n = 0; n < 3; n++) channel.send({ state: 'waiting' })
      channel.send({ state: 'send' })
      expect(await channel.readBytes(received)).toBe(true)
      channel.send({ state: 'stored' })
    })
    await offerToWorker(path, file)
    expect(received.equals(content)).toBe(true)
    const head = content.subarray(0, 40).toString('base64')
    expect(offer).toEqual({ file: file.name, bytes: 300_000, sha256: file.sha256.toString('hex'), head })
  })

  test('fails with what the worker says', async () => {
    await listen(async (channel) => {
      await channel.readLine()
      channel.send({ state: 'failed', code: 'wal_conflict', message: 'other bytes', hint: 'Stop one.' })
    })
    const failure = { code: 'wal_conflict', message: 'other bytes', hint: 'Stop one.' }
    await expect(offerToWorker(path, file)).rejects.toMatchObject(failure)
  })

  test.each<[string, (channel: ArchiveChannel, socket: Socket) => Promise<void>]>([
    ['ends the connection', async (channel, socket) => void (await channel.readLine(), socket.destroy())],
    [
      'dies while it takes the bytes',
      async (channel, socket) => {
        await channel.readLine()
        channel.send({ state: 'send' })
        await channel.readBytes(Buffer.alloc(1000))
        socket.destroy()
      },
    ],
    ['says something else', async (channel, socket) => void (await channel.readLine(), socket.write('"stored"\n'))],
    ['says no line', async (channel, socket) => void (await channel.readLine(), socket.write('stored'.repeat(20_000)))],
    ['says nothing', async (channel) => void (await channel.readLine())],
  ])('takes nothing for stored when the worker %s', async (_, answer) => {
    await listen(answer)
    await expect(offerToWorker(path, file, 300)).rejects.toMatchObject({ code: 'worker_unreachable' })
  })

  test('says that there is no worker', async () => {
    await expect(offerToWorker(path, file)).rejects.toMatchObject({ code: 'worker_unreachable' })
    await mkdir(join(directory, 'own'))
    await writeFile(path, 'no socket')
    await expect(offerToWorker(path, file)).rejects.toMatchObject({ code: 'worker_unreachable' })
  })

  test('asks nobody where others could have put a socket', async () => {
    await listen(knowsAll)
    await offerToWorker(path, file)
    await chmod(join(directory, 'own'), 0o777)
    const failure = { code: 'worker_unreachable', message: expect.stringContaining('others may write in it') }
    await expect(offerToWorker(path, file)).rejects.toMatchObject(failure)
  })
})

describe('the socket of the worker', () => {
  test('is for its own user alone', async () => {
    await listen(knowsAll)
    expect((await lstat(path)).mode & 0o777).toBe(0o600)
    expect((await lstat(join(directory, 'own'))).mode & 0o777).toBe(0o700)
    expect(await readdir(join(directory, 'own'))).toEqual(['worker.sock'])
  })

  test('is not made where others may write', async () => {
    await mkdir(join(directory, 'own'))
    await chmod(join(directory, 'own'), 0o777)
    await expect(listen(knowsAll)).rejects.toMatchObject({ code: 'config_invalid' })
    expect(await readdir(join(directory, 'own'))).toEqual([])
  })

  test('stays with the newer worker when an older one lets go', async () => {
    const older = await listen(knowsAll)
    await listen(knowsAll)
    await older.close()
    await offerToWorker(path, file)
  })

  test('is gone when its worker has ended', async () => {
    await (await listen(knowsAll)).close()
    expect(await readdir(join(directory, 'own'))).toEqual([])
  })

  test('is refused with a reason when its path is too long', async () => {
    path = join(directory, 'x'.repeat(120))
    await expect(listen(knowsAll)).rejects.toMatchObject({ code: 'config_invalid' })
  })
})

test('the server of a WAL file is told by its pg_control', async () => {
  await mkdir(join(directory, 'pg_wal'))
  await mkdir(join(directory, 'global'))
  const walFile = join(directory, 'pg_wal', file.name)
  expect(await systemIdentifierOf(walFile)).toBeNull()
  const control = Buffer.alloc(100)
  control.writeBigUInt64LE(17_412_345_678_901_234_567n)
  await writeFile(join(directory, 'global', 'pg_control'), control)
  expect(await systemIdentifierOf(walFile)).toBe('17412345678901234567')
})
