import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import type { Catalog } from '../../src/catalog/catalog.js'
import { Secret } from '../../src/secret.js'
import { ReplicationConnection } from '../../src/source/replication-connection.js'
import { hasWal } from '../../src/source/wal-probe.js'
import { Source } from '../../src/worker/source.js'
import { until } from '../sandbox/until.js'

/** AuthenticationOk and ReadyForQuery: https://www.postgresql.org/docs/current/protocol-message-formats.html */
const WELCOME = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49])

/** A server that takes connections and answers no command. */
class MuteServer {
  /** what came on each connection */
  readonly heard: string[] = []
  readonly #sockets = new Set<Socket>()

  private constructor(
    readonly server: net.Server,
    readonly url: Secret,
  ) {}

  /** @param welcomes whether it lets in who connects, or does not even do that */
  static async start(welcomes: boolean): Promise<MuteServer> {
    const server = net.createServer((socket) => {
      const at = started.heard.push('') - 1
      started.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => started.#sockets.delete(socket))
      socket.once('data', () => welcomes && socket.write(WELCOME))
      socket.on('data', (chunk) => (started.heard[at] += chunk.toString('latin1')))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const started = new MuteServer(server, new Secret(`postgresql://worker@127.0.0.1:${port}/postgres`))
    return started
  }

  get connections(): number {
    return this.#sockets.size
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.server.close()
  }
}

const reason = new Error('the session is over')

let servers: MuteServer[] = []

afterEach(() => {
  for (const server of servers) server.close()
  servers = []
})

async function mute({ welcomes }: { welcomes: boolean }): Promise<MuteServer> {
  const server = await MuteServer.start(welcomes)
  servers.push(server)
  return server
}

/** Begins something, ends its signal once the server has heard `text`, and expects that it ends with that. */
async function endsWhenAborted(
  server: MuteServer,
  text: string,
  begin: (signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const ending = new AbortController()
  const running = begin(ending.signal)
  running.catch(() => undefined)
  await until(`the server hears ${text}`, () => server.heard.some((each) => each.includes(text)))
  ending.abort(reason)
  await expect(running).rejects.toThrow()
  await until('nothing is connected', () => server.connections === 0)
}

describe('a server that says nothing', () => {
  test('is not waited for once the session is over, while it is connected to', async () => {
    const server = await mute({ welcomes: false })
    await endsWhenAborted(server, 'replication', (signal) => ReplicationConnection.open(server.url, 'postbox', signal))
    const ended = AbortSignal.abort(reason)
    await expect(ReplicationConnection.open(server.url, 'postbox', ended)).rejects.toBe(reason)
    expect(server.heard).toHaveLength(1)
  })

  test('is not waited for once the session is over, nor is the next one asked, while it is to say who it is', async () => {
    const server = await mute({ welcomes: true })
    const next = await mute({ welcomes: true })
    const source = new Source({} as Catalog, server.url, [server.url, next.url], pino({ level: 'silent' }))
    await endsWhenAborted(server, 'IDENTIFY_SYSTEM', (signal) => source.open('postbox', signal))
    expect(next.heard).toEqual([])
  })

  test('is not waited for once the session is over, while it looks for WAL', async () => {
    const server = await mute({ welcomes: true })
    await endsWhenAborted(server, 'START_REPLICATION', (signal) => hasWal(server.url, 1, 0x1000000n, signal))
  })

  test('is hung up on when a command took too long', async () => {
    const server = await mute({ welcomes: true })
    const connection = await ReplicationConnection.open(server.url, 'postbox')
    const failure = { code: 'replication_failed', message: 'the server did not answer IDENTIFY_SYSTEM within 0.1 s' }
    await expect(connection.run('IDENTIFY_SYSTEM', null, 100)).rejects.toMatchObject(failure)
    await until('nothing is connected', () => server.connections === 0)
    await expect(connection.run('IDENTIFY_SYSTEM')).rejects.toMatchObject(failure)
  })
})
