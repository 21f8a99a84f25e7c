import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { readPostedForm, type PostedForm } from './posted-form.js'

/** How the connection of a post ends. */
export type Cut =
  /** after so many bytes of the body, the only ones that reach the box; `takesAll`: when the client has sent the rest */
  | { in: 'body'; at: (form: PostedForm) => number; takesAll?: true }
  /** after so many bytes of the answer, or of its XML: the object is stored */
  | { in: 'answer'; at: number; of?: 'xml' }

const at = (bytes: (form: PostedForm) => number): Cut => ({ in: 'body', at: bytes })

/** From the first byte of a post to the last one of its answer. */
export const CUTS: readonly Cut[] = [
  at(() => 1),
  at(({ keyAt }) => keyAt + 5),
  at(({ policyAt }) => policyAt + 100),
  at(({ boundaryAt }) => boundaryAt + 3),
  at(({ fileAt }) => fileAt),
  at(({ fileAt }) => fileAt + 1),
  at(({ fileAt, fileEnd }) => Math.floor((fileAt + fileEnd) / 2)),
  at(({ fileEnd }) => fileEnd - 1),
  at(({ fileEnd }) => fileEnd),
  at(({ fileEnd }) => fileEnd + 10),
  at(({ bytes }) => bytes - 1),
  // The client has sent all of it, and the box has not stored.
  { in: 'body', at: ({ bytes }) => bytes - 1, takesAll: true },
  { in: 'answer', at: 0 },
  { in: 'answer', at: 9 },
  { in: 'answer', at: 60, of: 'xml' },
]

/** Which posts are cut: each takes the next of the cuts, until none is left. */
export interface CutPlan {
  key: RegExp
  cuts: readonly Cut[]
  /** how often the posts of one key may be cut; once unless said otherwise */
  perKey?: number
}

/** A post that was cut. */
export interface CutPost {
  key: string
  cut: Cut
}

/** A way to an S3 that ends connections at an exact byte, by turns with RST and with FIN. */
export class CuttingProxy {
  readonly #plans: (CutPlan & { done: CutPost[] })[] = []
  readonly #sockets = new Set<Socket>()
  #ended = 0

  private constructor(
    readonly server: net.Server,
    readonly boxPort: number,
  ) {}

  /** @param endpoint speaks plain HTTP */
  static async start(endpoint: string): Promise<CuttingProxy> {
    const server = net.createServer()
    const proxy = new CuttingProxy(server, Number(new URL(endpoint).port))
    server.on('connection', (client) => {
      proxy.#join(client)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return proxy
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** The posts that were cut so far, a list that grows. */
  cut(plan: CutPlan): readonly CutPost[] {
    const done: CutPost[] = []
    this.#plans.push({ ...plan, done })
    return done
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close')
    this.server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #join(client: Socket): void {
    const box = net.connect(this.boxPort, '127.0.0.1')
    for (const socket of [client, box]) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => this.#sockets.delete(socket))
    }
    box.on('close', () => client.destroy())
    // The box must read all that it was given before it sees the end.
    client.on('close', () => box.end())

    let received = Buffer.alloc(0)
    let form: PostedForm | null = null
    let cut: Cut | null = null
    let sent = 0
    client.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      for (;;) {
        if (!form) {
          form = readPostedForm(received)
          if (!form) return
          cut = this.#next(form.key)
        }
        const end = form.bodyAt + form.bytes
        const limit = cut?.in === 'body' ? form.bodyAt + cut.at(form) : end
        const upTo = Math.min(received.length, limit)
        if (upTo > sent) box.write(received.subarray(sent, upTo))
        sent = Math.max(sent, upTo)
        if (cut?.in === 'body' && received.length >= (cut.takesAll ? end : limit)) {
          this.#end(client)
          return
        }
        if (received.length < end) return
        received = received.subarray(end)
        form = null
        sent = 0
      }
    })
    let answer = Buffer.alloc(0)
    box.on('data', (chunk: Buffer) => {
      if (cut?.in !== 'answer') {
        client.write(chunk)
        return
      }
      answer = Buffer.concat([answer, chunk])
      const headEnd = answer.indexOf('\r\n\r\n')
      if (cut.of === 'xml' && headEnd < 0) return
      const limit = cut.at + (cut.of === 'xml' ? headEnd + 4 : 0)
      if (answer.length < limit) return
      if (limit > 0) client.write(answer.subarray(0, limit))
      this.#end(client)
    })
  }

  #next(key: string): Cut | null {
    for (const { key: pattern, cuts, perKey = 1, done } of this.#plans) {
      const cut = cuts[done.length]
      if (!cut || !pattern.test(key) || done.filter((one) => one.key === key).length >= perKey) continue
      done.push({ key, cut })
      return cut
    }
    return null
  }

  /** As a box that has crashed, or as one that closes; what was written before still leaves. */
  #end(client: Socket): void {
    if (client.destroyed || client.writableEnded) return
    client.pause()
    if (this.#ended++ % 2 === 0 && client.writableLength === 0) client.resetAndDestroy()
    else client.end(() => client.destroy())
  }
}
