import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { Body } from './body.js'
import { Cut, errorXml, S3Error } from './errors.js'
import type { Fault, Faults } from './faults.js'
import { perform } from './operations.js'
import { contentLength, readTarget, type Exchange, type Reply, type Target } from './request.js'
import type { RequestRecord } from './server.js'
import type { Keys } from './signature.js'
import type { Bucket } from './store.js'

/** What all requests share. */
export interface ServerState {
  buckets: Map<string, Bucket>
  keys: Keys
  faults: Faults
  requests: RequestRecord[]
  clockShiftMs: number
  formAgeMs: number | null
}

/** The reply stands in the fault itself: nothing else is done. */
class Instead extends Error {
  constructor(readonly reply: Reply) {
    super('answered by a fault')
  }
}

/** Answers one request, faults included. Never throws. */
export async function answer(state: ServerState, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const now = new Date(Date.now() + state.clockShiftMs)
  const record: RequestRecord = {
    ...{ op: 'Unknown', method: request.method ?? '', bucket: '', key: null, status: null, bytes: 0, fault: null },
    headers: request.headers,
    at: now,
  }
  state.requests.push(record)
  const exchange = new Answering(state, request, record, now)
  try {
    const reply = await exchange.perform()
    record.status = reply.status
    await send(response, reply, now, exchange.fault())
  } catch {
    // A cut, or a client that went away while it was answered.
    response.destroy()
    request.destroy()
  }
  await exchange.drain()
}

/** One request on its way to its answer. */
class Answering implements Exchange {
  readonly keys: Keys
  readonly buckets: Map<string, Bucket>
  readonly formAgeMs: number | null
  readonly target: Target
  #fault: Fault | null = null
  #body: Body | null = null

  constructor(
    readonly state: ServerState,
    readonly request: IncomingMessage,
    readonly record: RequestRecord,
    readonly now: Date,
  ) {
    this.keys = state.keys
    this.buckets = state.buckets
    this.formAgeMs = state.formAgeMs
    this.target = readTarget(record.method, request.url ?? '/')
    Object.assign(record, { op: this.target.op, bucket: this.target.bucket, key: this.target.key || null })
  }

  /** The answer, an error's too. Throws when the connection is to be cut. */
  async perform(): Promise<Reply> {
    try {
      // A form's key is known only once its fields were read.
      await this.#take(this.target.op === 'PostObject' ? 'without-key' : 'any')
      const reply = await perform(this)
      if (this.#fault?.kind === 'cut') throw new Cut('cut before the answer')
      if (this.#fault?.kind === 'hold') await this.#fault.until
      return this.#fault?.kind === 'ok-with-error' ? okWithError(this.#fault) : reply
    } catch (error) {
      if (error instanceof Cut) throw error
      return error instanceof Instead ? error.reply : errorReply(error)
    }
  }

  fault(): Fault | null {
    return this.#fault
  }

  async keyKnown(key: string): Promise<void> {
    this.record.key = key
    await this.#take('by-key')
    // Read to the cut now, or a refusal would be answered before it.
    if (this.#fault?.kind === 'cut-body') await this.#body?.whole()
  }

  body(): Body {
    this.record.bytes = contentLength(this.request)
    const cutAfter = this.#fault?.kind === 'cut-body' ? this.#fault.afterBytes : null
    this.#body = new Body(this.request, this.record.bytes, cutAfter)
    return this.#body
  }

  beforeStore(): void {
    const fault = this.#fault
    if (fault?.kind === 'cut' && fault.when === 'before-store') throw new Cut('cut before storing')
    if (fault?.kind === 'ok-with-error' && !fault.stored) throw new Instead(okWithError(fault))
  }

  async drain(): Promise<void> {
    await this.#body?.drain()
  }

  async #take(which: 'any' | 'without-key' | 'by-key'): Promise<void> {
    if (this.#fault) return
    const { op, method } = this.target
    const fault = this.state.faults.take({ op, method, key: this.record.key }, which)
    this.#fault = fault
    this.record.fault = fault?.kind ?? null
    if (fault) await strikeFirst(fault, this.request.url ?? '')
    if (fault?.kind === 'cut-body') this.#body?.cutAt(fault.afterBytes)
  }
}

/** Faults that strike before anything is done. */
async function strikeFirst(fault: Fault, url: string): Promise<void> {
  if (fault.kind === 'down') throw new Cut('down')
  if (fault.kind === 'delay') await wait(fault.ms)
  if (fault.kind === 'silence') await new Promise(() => {})
  if (fault.kind === 'hold' && fault.when === 'before-store') await fault.until
  if (fault.kind === 'redirect') throw new Instead(redirect(fault, url))
  if (fault.kind === 'status') {
    const { status, code = 'InternalError', message = 'told to fail', headers = {}, body } = fault
    throw new Instead({ status, headers, body: body ?? errorXml(new S3Error(status, code, message), 'local') })
  }
}

function redirect(fault: Fault & { kind: 'redirect' }, url: string): Reply {
  const [code, message] =
    fault.status === 307
      ? [
          'TemporaryRedirect',
          'Please re-send this request to the specified temporary endpoint. Continue to use the original request endpoint for future requests.',
        ]
      : [
          'PermanentRedirect',
          'The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.',
        ]
  const headers: Record<string, string> = { 'Content-Type': 'application/xml' }
  if (fault.location !== undefined) headers['Location'] = fault.location + url
  if (fault.region !== undefined) headers['x-amz-bucket-region'] = fault.region
  return { status: fault.status, headers, body: errorXml(new S3Error(fault.status, code!, message!), 'local') }
}

const okWithError = ({ code, message }: Fault & { kind: 'ok-with-error' }): Reply => ({
  status: 200,
  headers: { 'Content-Type': 'application/xml' },
  body: errorXml(new S3Error(200, code, message), 'local'),
})

function errorReply(thrown: unknown): Reply {
  const error = thrown instanceof S3Error ? thrown : new S3Error(500, 'InternalError', `a defect: ${String(thrown)}`)
  const headers = { 'Content-Type': 'application/xml', ...error.headers }
  return { status: error.status, headers, body: errorXml(error, 'local') }
}

async function send(response: ServerResponse, reply: Reply, now: Date, fault: Fault | null): Promise<void> {
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body
  response.sendDate = false
  response.writeHead(reply.status, {
    ...reply.headers,
    Date: now.toUTCString(),
    Server: 'AmazonS3',
    'x-amz-request-id': randomBytes(8).toString('hex').toUpperCase(),
    ...(reply.status === 204 ? {} : { 'Content-Length': String(body.length) }),
  })
  if (fault?.kind === 'cut-body') {
    // The first bytes must have left before the connection ends.
    await new Promise<void>((sent) => response.write(body.subarray(0, fault.afterBytes), () => sent()))
    throw new Cut('cut in the answer')
  }
  response.end(response.req.method === 'HEAD' || reply.status === 204 ? undefined : body)
}
