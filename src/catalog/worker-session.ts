import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { catalogError } from './catalog-error.js'
import { sessionConfig } from './driver.js'
import { endClient } from './end-client.js'

/** How often a second worker looks whether the first is gone. */
const LOCK_POLL_MS = 1000
/** How the session notices that a server hangs, or the network is cut: neither ends a connection. */
export interface AliveCheck {
  everyMs: number
  /** holds for whatever is asked */
  answerWithinMs: number
}
const USUAL_CHECK: AliveCheck = { everyMs: 10_000, answerWithinMs: 30_000 }
/** As it shows in pg_stat_activity, which is open to everybody. */
const SESSION_NAME = 'postbox worker'

export interface WorkerSessionHandlers {
  /** payload of a NOTIFY: job, cancel, grant or setting */
  onNotify(payload: string): void
  /** The connection is gone, and the worker lock with it. Called once, and never after close(). */
  onLost(error: PostboxError): void
}

/** Opens the session that makes this process the worker. The caller closes. */
export async function openWorkerSession(
  databaseUrl: Secret,
  handlers: WorkerSessionHandlers,
  { everyMs, answerWithinMs } = USUAL_CHECK,
): Promise<WorkerSession> {
  const client = new pg.Client({ ...sessionConfig(databaseUrl, SESSION_NAME), query_timeout: answerWithinMs })
  const session = new WorkerSession(client, handlers, everyMs)
  await session.open()
  return session
}

/** One connection that listens on the channel `postbox` and holds the worker lock: while it lives, the worker is alive. */
export class WorkerSession {
  #over = false
  #name = SESSION_NAME
  #alive: NodeJS.Timeout | undefined

  constructor(
    private readonly client: pg.Client,
    private readonly handlers: WorkerSessionHandlers,
    private readonly aliveEveryMs: number,
  ) {
    client.on('notification', ({ payload }) => {
      if (!this.#over && payload !== undefined) handlers.onNotify(payload)
    })
    client.on('error', (error) => {
      this.#lose(error)
    })
    client.on('end', () => {
      this.#lose(new Error('Connection terminated'))
    })
  }

  async open(): Promise<void> {
    try {
      await this.client.connect()
      // So that the server, too, notices within a minute when this machine is gone, and lets the next worker have the
      // lock; and never ends the session because it is idle, which it is by design.
      await this.client.query(`
        set tcp_keepalives_idle = 20; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3;
        set idle_session_timeout = 0; set statement_timeout = 0; listen postbox`)
      this.#checkAlive()
    } catch (thrown) {
      await this.close()
      throw catalogError(thrown)
    }
  }

  /**
   * Takes the worker lock; waits while another worker has it, saying so once by `onWaiting`.
   *
   * Asks again and again instead of waiting in the server, where the statement would keep vacuum from cleaning up.
   */
  async lock(signal: AbortSignal, onWaiting?: () => void): Promise<void> {
    for (let waiting = false; ; waiting = true) {
      signal.throwIfAborted()
      if (await this.#tryLock()) return
      if (!waiting) onWaiting?.()
      await delay(LOCK_POLL_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  /**
   * Adds something to the session's name, for the views: without a row, so that an idle server stays idle, and gone with
   * the worker. An empty text takes it back.
   */
  async show(text: string): Promise<void> {
    const name = text === '' ? SESSION_NAME : `${SESSION_NAME} ${text}`
    if (name === this.#name || this.#over) return
    try {
      await this.client.query(`select pg_catalog.set_config('application_name', $1, false)`, [name])
      this.#name = name
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  async close(): Promise<void> {
    this.#over = true
    clearTimeout(this.#alive)
    // A connection that is gone cannot say goodbye.
    await endClient(this.client).catch(() => undefined)
  }

  /** Asks for nothing, again and again: whoever does not answer is lost. */
  #checkAlive(): void {
    this.#alive = setTimeout(() => {
      this.client.query('').then(
        () => {
          if (!this.#over) this.#checkAlive()
        },
        (error: Error) => {
          this.#lose(error)
        },
      )
    }, this.aliveEveryMs)
  }

  async #tryLock(): Promise<boolean> {
    try {
      const { rows } = await this.client.query<{ locked: boolean }>(
        'select pg_catalog.pg_try_advisory_lock(backup._worker_lock_key()) as locked',
      )
      return rows[0]?.locked === true
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  #lose(cause: Error): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#alive)
    const error = catalogError(cause)
    const lost = error.code === 'internal' ? catalogError(new Error('Connection terminated', { cause })) : error
    this.handlers.onLost(lost)
  }
}
