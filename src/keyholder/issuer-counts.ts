import { known, type Reading } from '../observe/reading.js'
import type { Archive } from './archive.js'
import { PLAN_PREFIX } from './prune/prune-plan.js'

export type Refusal = 'no_token' | 'unknown_token' | 'cannot_sign'

/** What the issuer tells Prometheus, in plain numbers. Servers are those of keyholder.yaml. */
export class IssuerCounts {
  signed = 0
  readonly refused: Record<Refusal, number> = { no_token: 0, unknown_token: 0, cannot_sign: 0 }
  readonly #drilledAt = new Map<string, number>()
  readonly #prunedAt = new Map<string, number>()
  #signedAt: number | null = null

  countSigned(): void {
    this.signed += 1
    this.#signedAt = Date.now() / 1000
  }

  /** The newest drill of a server, as its worker was told. */
  sawDrill(server: string, finishedAt: string): void {
    this.#drilledAt.set(server, Date.parse(finishedAt) / 1000)
  }

  /** Looks when the server's archive was pruned last. A key that may not list knows nothing of it. Never rejects. */
  async lookForPrune(archive: Archive, server: string): Promise<void> {
    let newest = 0
    try {
      for await (const { key, storedAt } of archive.list(`${PLAN_PREFIX}${server}/`)) {
        if (key.endsWith('.closed.json')) newest = Math.max(newest, storedAt.getTime() / 1000)
      }
    } catch {
      return
    }
    if (newest > 0) this.#prunedAt.set(server, newest)
  }

  readings(): Reading[] {
    const byServer = (name: string, help: string, times: ReadonlyMap<string, number>): Reading => ({
      name,
      help,
      type: 'gauge',
      read: () => [...times].map(([server, value]) => ({ value, labels: { server } })),
    })
    return [
      {
        name: 'postbox_issuer_grants_signed_total',
        help: 'Grants that were signed',
        type: 'counter',
        read: () => [{ value: this.signed }],
      },
      {
        name: 'postbox_issuer_grants_refused_total',
        help: 'Requests that got no grant, by reason',
        type: 'counter',
        read: () => Object.entries(this.refused).map(([reason, value]) => ({ value, labels: { reason } })),
      },
      {
        name: 'postbox_issuer_last_grant_timestamp_seconds',
        help: 'When a grant was signed last',
        type: 'gauge',
        read: () => known(this.#signedAt),
      },
      byServer(
        'postbox_issuer_last_drill_timestamp_seconds',
        'When the newest drill of a server ended',
        this.#drilledAt,
      ),
      byServer('postbox_issuer_last_prune_timestamp_seconds', 'When a server was pruned last', this.#prunedAt),
    ]
  }
}
