import { Agent, request } from 'undici'
import { PostboxError } from '../errors.js'
import { readReceipt, type Answer, type Posted } from './answer.js'
import type { Box, Part, Receipt } from './box.js'
import { clockSkewMs } from './clock-skew.js'
import { formBody, takeWhole } from './form-body.js'
import type { Grant } from './grant.js'
import { connectionError } from './connection-error.js'
import { checkPart } from './part-check.js'
import { postForm } from './post-form.js'
import { refusedAll } from './probe.js'
import { sameProvider } from './redirect.js'
import type { Throttle } from './throttle.js'

export interface HttpBoxOptions {
  /** the grant to use now; may throw `grant_missing` */
  grant: () => Grant
  /** open at once, at most */
  connections: number
  throttle?: Throttle
  /** certificates to trust in place of the public ones */
  ca?: string | Buffer
  /** told by each answer: how far the box's clock is ahead, give or take a second */
  onClock?: ((skewMs: number) => void) | undefined
}

export type HttpBox = Box & { close(): Promise<void> }

/** A peer that neither takes nor gives a byte for so long is dead. S3 itself gives up after 20 s. */
const NO_PROGRESS_MS = 60_000
/** More than any S3 error or receipt has. */
const MAX_ANSWER_BYTES = 64 * 1024

/**
 * A box at the URL of the grant. Tries once; wrap it in `refreshing` and `retrying`.
 *
 * Whoever opens it closes it; posts under way are ended by their signals.
 */
export function createHttpBox(options: HttpBoxOptions): HttpBox {
  const agent = new Agent({
    connections: options.connections,
    pipelining: 1,
    // HTTP/2 would put all uploads on one connection.
    allowH2: false,
    // S3 closes a connection that is idle for about 5 s; one used just then would fail.
    keepAliveTimeout: 3500,
    keepAliveMaxTimeout: 3900,
    headersTimeout: NO_PROGRESS_MS,
    bodyTimeout: NO_PROGRESS_MS,
    connect: { timeout: 10_000, ...(options.ca === undefined ? {} : { ca: options.ca }) },
  })
  return {
    post: async (part, signal) => new Posting(agent, options, options.grant(), part, signal).run(),
    close: () => agent.destroy(),
  }
}

/** One try to post one part. */
class Posting {
  #sentBytes = 0

  constructor(
    readonly agent: Agent,
    readonly options: HttpBoxOptions,
    readonly grant: Grant,
    readonly part: Part,
    readonly signal: AbortSignal,
  ) {}

  get #throttle(): Throttle | null {
    return this.options.throttle ?? null
  }

  async run(): Promise<Receipt> {
    const { grant, part, signal } = this
    signal.throwIfAborted()
    checkPart(part, grant, new Date())
    const answer = await this.#send(grant.url)
    const location = answer.headers['location']
    // New buckets answer 307 until their name is known everywhere; a second one is an answer like any other.
    const again = answer.status === 307 && location !== undefined && sameProvider(grant.url, location)
    const last = again ? await this.#send(new URL(location, grant.url).href) : answer
    return readReceipt(last, this.#posted())
  }

  async #send(url: string): Promise<Answer> {
    const { part, signal } = this
    const form = postForm(this.grant, part)
    const body = formBody(form, part, this.#throttle, signal)
    this.#sentBytes = 0
    try {
      if (Buffer.isBuffer(body)) await takeWhole(body, this.#throttle, part, signal)
      return await this.#request(url, form.contentType, form.bytes, Buffer.isBuffer(body) ? body : this.#counted(body))
    } catch (thrown) {
      if (signal.aborted) throw signal.reason
      if (thrown instanceof PostboxError) throw thrown
      throw await this.#explain(url, thrown, form.bytes)
    }
  }

  /** A refusal can be lost when the box closes a connection that still sends: then the same grant is asked about alone. */
  async #explain(url: string, thrown: unknown, bytes: number): Promise<PostboxError> {
    const failure = connectionError(thrown, this.part.key, new URL(url).host)
    const midway = this.#sentBytes > 0 && this.#sentBytes < bytes
    if (!midway) return failure
    const ask = (form: { contentType: string; body: Buffer }): Promise<Answer> =>
      this.#request(url, form.contentType, form.body.length, form.body)
    return (await refusedAll(ask, this.#posted())) ?? failure
  }

  async #request(
    url: string,
    contentType: string,
    bytes: number,
    body: Buffer | AsyncIterable<Buffer>,
  ): Promise<Answer> {
    const response = await request(url, {
      method: 'POST',
      dispatcher: this.agent,
      headers: { 'content-type': contentType, 'content-length': String(bytes), 'user-agent': 'postbox' },
      body: body as Buffer,
      signal: this.signal,
    })
    const headers = Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value[0] : value,
    ])
    const text: Buffer[] = []
    let length = 0
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      // The rest is read and thrown away, so that the connection can be used again.
      if (length < MAX_ANSWER_BYTES) text.push(chunk)
      length += chunk.length
    }
    const whole = Buffer.concat(text).toString('utf8', 0, MAX_ANSWER_BYTES)
    const answer = {
      status: response.statusCode,
      headers: Object.fromEntries(headers) as Answer['headers'],
      body: whole,
    }
    const skew = this.options.onClock && clockSkewMs(answer, new Date())
    if (typeof skew === 'number') this.options.onClock?.(skew)
    return answer
  }

  async *#counted(body: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    for await (const piece of body) {
      yield piece
      this.#sentBytes += piece.length
    }
  }

  #posted(): Posted {
    return { part: this.part, grant: this.grant, now: new Date() }
  }
}
