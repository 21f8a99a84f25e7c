import { rootCertificates } from 'node:tls'
import type { Logger } from 'pino'
import { Agent, request } from 'undici'
import type { Catalog } from '../catalog/catalog.js'
import type { NotedCheck, WebhookTarget } from '../catalog/checks.js'
import { asPostboxError, PostboxError } from '../errors.js'
import { Backoff } from './backoff.js'
import type { Change, WaitingChanges } from './waiting-changes.js'
import { Wakeup } from './wakeup.js'

const ANSWER_WITHIN_MS = 10_000
const TRIES = 5

/**
 * Posts each change of a check as JSON to the setting `webhook_url`, one after another, and tries again when that fails.
 * A webhook that was set anew is tried at once. Nothing waits for it; what cannot be posted is logged, and shown by the
 * check `webhook`.
 */
export class Webhook {
  readonly #wakeup = new Wakeup()
  /** wakes who waits to try again */
  readonly #retry = new Wakeup()
  #mayHaveChanged = true

  constructor(
    readonly catalog: Catalog,
    /** trusted besides the public ones */
    readonly ca: string | undefined,
    readonly changes: WaitingChanges,
    readonly log: Logger,
    readonly firstDelayMs = 1000,
  ) {}

  send(checks: readonly NotedCheck[]): void {
    const dropped = this.changes.add(checks)
    if (dropped > 0) this.log.warn({ changes: dropped }, 'the webhook is too slow: changes were dropped')
    this.#wakeup.wake()
  }

  /** The settings may have changed. */
  lookAtSettings(): void {
    this.#mayHaveChanged = true
    this.#wakeup.wake()
    this.#retry.wake()
  }

  /** Runs until `signal` is aborted; of the webhook's own failures none ends it. */
  async run(signal: AbortSignal): Promise<void> {
    const { changes, log } = this
    while (!signal.aborted) {
      if (this.#mayHaveChanged) await this.#lookAtTarget(signal)
      const change = changes.first
      if (change) await this.#deliver(change, signal)
      else await this.#wakeup.wait(60_000, signal)
    }
    if (changes.size > 0) log.warn({ changes: changes.size }, 'changes of checks still wait for the webhook')
  }

  /** What was said of another address is not true of this one. */
  async #lookAtTarget(signal: AbortSignal): Promise<void> {
    const { catalog, changes } = this
    const backoff = this.#backoff()
    while (!signal.aborted) {
      try {
        this.#mayHaveChanged = false
        const target = await catalog.checks.webhookTarget()
        const isNew = changes.target !== undefined && !isSame(changes.target, target)
        if (isNew && !target) await catalog.reportProblem('webhook', null)
        if (isNew && target) changes.putFirst(trial())
        changes.target = target
        return
      } catch {
        await backoff.wait(signal)
      }
    }
  }

  /** Leaves the change where it is when `signal` is aborted meanwhile. */
  async #deliver(change: Change, signal: AbortSignal): Promise<void> {
    const backoff = this.#backoff()
    for (let tries = 0; !signal.aborted;) {
      try {
        // Asked each time: it may have been set right, or taken back.
        const target = await this.catalog.checks.webhookTarget()
        if (target) await this.#post(target, change, signal)
        this.changes.remove(change)
        await this.catalog.reportProblem('webhook', null).catch(() => undefined)
        return
      } catch (thrown) {
        if (signal.aborted) return
        const error = asPostboxError(thrown)
        // What the catalog does not answer is no failure of the webhook.
        if (error.code === 'webhook_failed' && ++tries === TRIES) {
          this.changes.remove(change)
          this.log.error({ check: change.name, code: error.code, hint: error.hint }, error.message)
          await this.catalog.reportProblem('webhook', error).catch(() => undefined)
          return
        }
        await this.#retry.wait(backoff.next(), signal)
      }
    }
  }

  #backoff(): Backoff {
    return new Backoff(this.firstDelayMs, 60_000)
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

const isSame = (one: WebhookTarget | null, other: WebhookTarget | null): boolean =>
  one?.url.reveal() === other?.url.reveal() && one?.secret?.reveal() === other?.secret?.reveal()

/** Shows whether the webhook takes anything at all. */
const trial = (): Change => ({
  name: 'webhook',
  from: null,
  to: 'ok',
  message: 'changes of checks are posted here from now on',
  hint: null,
  at: new Date().toISOString(),
})

function failed(host: string, why: string, cause?: unknown): PostboxError {
  return new PostboxError(
    'webhook_failed',
    `the webhook at ${host} did not take a change of a check: ${why}`,
    'See the settings webhook_url and webhook_secret, and whether this machine may reach it.',
    { cause },
  )
}
