import { rootCertificates } from 'node:tls'
import type { Logger } from 'pino'
import { Agent, request } from 'undici'
import type { Catalog } from '../catalog/catalog.js'
import type { NotedCheck, WebhookTarget } from '../catalog/checks.js'
import { asPostboxError, PostboxError } from '../errors.js'
import { Backoff } from './backoff.js'
import { Wakeup } from './wakeup.js'

const ANSWER_WITHIN_MS = 10_000
const TRIES = 5
/** What waits longer is no news. */
const MOST_WAITING = 200

interface Change {
  name: string
  from: string | null
  to: string
  message: string
  hint: string | null
  at: string
}

/**
 * Posts each change of a check as JSON to the setting `webhook_url`, one after another, and tries again when that fails.
 * Nothing waits for it; what cannot be posted is logged, and shown by the check `webhook`.
 */
export class Webhook {
  readonly #waiting: Change[] = []
  readonly #wakeup = new Wakeup()

  constructor(
    readonly catalog: Catalog,
    /** trusted besides the public ones */
    readonly ca: string | undefined,
    readonly log: Logger,
    readonly firstDelayMs = 1000,
  ) {}

  send(checks: readonly NotedCheck[]): void {
    for (const { name, was, state, message, hint, at } of checks) {
      // A change of its own check would be one more to post.
      if (name === 'webhook') continue
      this.#waiting.push({ name, from: was, to: state, message, hint, at: at.toISOString() })
    }
    const tooMany = this.#waiting.splice(0, Math.max(0, this.#waiting.length - MOST_WAITING))
    if (tooMany.length > 0) this.log.warn({ changes: tooMany.length }, 'the webhook is too slow: changes were dropped')
    this.#wakeup.wake()
  }

  /** Runs until `signal` is aborted; of the webhook's own failures none ends it. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const change = this.#waiting.shift()
      if (change) await this.#deliver(change, signal)
      else await this.#wakeup.wait(60_000, signal)
    }
  }

  async #deliver(change: Change, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(this.firstDelayMs, 60_000)
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        // Asked each time: it may have been set right, or taken back.
        const target = await this.catalog.checks.webhookTarget()
        if (target) await this.#post(target, change, signal)
        await this.catalog.reportProblem('webhook', null)
        return
      } catch (thrown) {
        if (signal.aborted) return
        const error = asPostboxError(thrown)
        if (tries === TRIES) {
          this.log.error({ check: change.name, code: error.code, hint: error.hint }, error.message)
          await this.catalog.reportProblem('webhook', error).catch(() => undefined)
          return
        }
        await backoff.wait(signal)
      }
    }
  }

  async #post({ url, secret, server }: WebhookTarget, change: Change, signal: AbortSignal): Promise<void> {
    const connect = this.ca === undefined ? {} : { ca: [...rootCertificates, this.ca] }
    const agent = new Agent({ connect: { ...connect, timeout: ANSWER_WITHIN_MS }, pipelining: 0 })
    const { host } = new URL(url.reveal())
    try {
      const answer = await request(url.reveal(), {
        method: 'POST',
        dispatcher: agent,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'postbox',
          ...(secret && { authorization: `Bearer ${secret.reveal()}` }),
        },
        body: JSON.stringify({ postbox: 1, server, ...change }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
      })
      // A redirect is not followed: it would carry the secret elsewhere.
      if (answer.statusCode < 200 || answer.statusCode > 299) throw failed(host, `it answered ${answer.statusCode}`)
    } catch (thrown) {
      if (thrown instanceof PostboxError) throw thrown
      // Messages of the library may repeat the address.
      const { code, name } = thrown as { code?: unknown; name?: unknown }
      throw failed(host, String(code ?? name ?? 'no answer'), thrown)
    } finally {
      await agent.destroy()
    }
  }
}

function failed(host: string, why: string, cause?: unknown): PostboxError {
  return new PostboxError(
    'webhook_failed',
    `the webhook at ${host} did not take a change of a check: ${why}`,
    'See the settings webhook_url and webhook_secret, and whether this machine may reach it.',
    { cause },
  )
}
