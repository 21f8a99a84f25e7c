import type { NotedCheck, WebhookTarget } from '../catalog/checks.js'

/** What waits longer is no news. */
const MOST_WAITING = 200

/** A change of a check as it is posted. */
export interface Change {
  name: string
  from: string | null
  to: string
  message: string
  hint: string | null
  at: string
}

/** Changes of checks that the webhook has not taken yet, in their order; they outlive terms. */
export class WaitingChanges {
  #waiting: Change[] = []
  /** the webhook when it was last looked at; undefined: it never was */
  target: WebhookTarget | null | undefined

  get size(): number {
    return this.#waiting.length
  }

  get first(): Change | undefined {
    return this.#waiting[0]
  }

  /** Returns how many were dropped, since too many wait. */
  add(checks: readonly NotedCheck[]): number {
    for (const { name, was, state, message, hint, at } of checks) {
      // A change of its own check would be one more to post.
      if (name === 'webhook') continue
      this.#waiting.push({ name, from: was, to: state, message, hint, at: at.toISOString() })
    }
    return this.#waiting.splice(0, Math.max(0, this.#waiting.length - MOST_WAITING)).length
  }

  /** To be posted before all others. */
  putFirst(change: Change): void {
    this.#waiting.unshift(change)
  }

  remove(change: Change): void {
    this.#waiting = this.#waiting.filter((one) => one !== change)
  }
}
