import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { until } from '../sandbox/until.js'
import { disagreements } from './agreement.js'
import { showLogOfFailures } from './show-log.js'

const COMMAND = 'IDENTIFY_SYSTEM'

/** A way to Postgres that loses what is asked for on connections made while it `hangs`. */
class Way {
  hangs = false
  /** commands that were lost */
  lost = 0
  readonly #sockets = new Set<Socket>()

  private constructor(readonly server: net.Server) {}

  static async to(postgres: () => number): Promise<Way> {
    const way: Way = new Way(
      net.createServer((socket) => {
        way.#join(socket, net.connect(postgres(), '127.0.0.1'))
      }),
    )
    way.server.listen(0, '127.0.0.1')
    await once(way.server, 'listening')
    return way
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port
  }

  /** Ends what is connected. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  close(): void {
    this.cut()
    this.server.close()
  }

  #join(client: Socket, server: Socket): void {
    let lost = false
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from)
      from.on('error', () => undefined)
      from.on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
    }
    client.on('data', (chunk) => {
      if (this.hangs && !lost && chunk.includes(COMMAND)) {
        lost = true
        this.lost++
      }
      if (!lost) server.write(chunk)
    })
    server.pipe(client)
  }
}

let backedUp: BackedUpServer
let way: Way

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  way = await Way.to(() => backedUp.postgres.port)
  await backedUp.worker.stop()
  const url = new URL(backedUp.postgres.url({ user: 'postbox_worker' }))
  url.port = String(way.port)
  backedUp.startWorker({ POSTBOX_SOURCE_URL: url.href })
  await backedUp.worker.says('streaming WAL')
})

afterAll(async () => {
  await backedUp.remove()
  way.close()
})

showLogOfFailures(() => backedUp)

/** Lets the worker lose its stream, and ask a server that says nothing. */
async function hang(): Promise<void> {
  const { lost } = way
  way.hangs = true
  way.cut()
  await until('the worker waits for an answer', () => way.lost > lost)
  way.hangs = false
}

const said = (text: string) => backedUp.worker.log.split(text).length - 1

test('a source that hangs does not keep the worker from its next term', async () => {
  const [terms, streams] = [said('the worker has begun'), said('streaming WAL')]
  await hang()
  await backedUp.postgres.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'postbox worker%'",
  )
  await until('the next term has begun', () => said('the worker has begun') > terms)
  await until('the worker streams again', () => said('streaming WAL') > streams)
  expect(await disagreements(backedUp)).toEqual([])
})

test('a source that hangs does not keep the worker from ending', async () => {
  await hang()
  let code: number | null | undefined
  void backedUp.worker.stop().then((ended) => (code = ended))
  await until('the worker ends', () => code !== undefined)
  expect(code).toBe(0)
})
