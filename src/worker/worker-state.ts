import type { PostCounts } from '../box/post-counts.js'
import type { Catalog } from '../catalog/catalog.js'
import type { NotedCheck } from '../catalog/checks.js'
import type { Health } from '../observe/observe-server.js'
import { WalHistory } from './wal-history.js'
import type { WalPlace } from './wal-keeper.js'

/** A round that takes longer hangs: what it asks gives up after a minute. */
const ROUND_WITHIN_MS = 180_000
/** A look at the checks that is older than this says nothing of now. */
const LOOK_WITHIN_MS = 60_000

/** What the term that is under way can be asked. */
export interface TermState {
  catalog: Catalog
  /** whether WAL is to be stored: the setting stream_wal */
  walWanted: () => boolean
  streaming: () => boolean
  /** up to where it has stored WAL; null: it has not streamed, or stored nothing behind a slot that was just made */
  durable: () => WalPlace | null
  /** null: there is none */
  grantExpiresAt: () => Date | null
}

/** What the worker knows of itself, in plain values; it outlives terms, so that nothing is counted anew. */
export class WorkerState {
  readonly counts: PostCounts = new Map()
  checks: readonly NotedCheck[] = []
  term: TermState | null = null
  #lookedAtMs = Number.NEGATIVE_INFINITY
  readonly #rounds = new Map<string, number>()

  constructor(readonly wal = new WalHistory()) {}

  begin(term: TermState): void {
    this.term = term
    this.#rounds.clear()
    for (const round of ['checks', 'schedules']) this.turned(round)
  }

  end(): void {
    this.term = null
    this.checks = []
    this.#lookedAtMs = Number.NEGATIVE_INFINITY
  }

  looked(checks: readonly NotedCheck[]): void {
    this.checks = checks
    this.#lookedAtMs = performance.now()
    this.turned('checks')
  }

  /** A loop has done a round. */
  turned(round: string): void {
    this.#rounds.set(round, performance.now())
  }

  /** Whether its loops turn. One that waits for another worker, or for its database, does what it should. */
  health(): Health {
    const late = this.term ? [...this.#rounds].filter(([, at]) => performance.now() - at > ROUND_WITHIN_MS) : []
    return health(late.map(([round]) => `nothing was heard of the round of ${round} for minutes`))
  }

  /** Whether what is wanted flows into the box now. */
  readiness(): Health {
    const { term } = this
    if (!term) return health(['it has no database, or another worker serves it'])
    const expires = term.grantExpiresAt()
    return health([
      ...(performance.now() - this.#lookedAtMs > LOOK_WITHIN_MS ? ['the checks were not looked at'] : []),
      ...(expires === null ? ['there is no grant'] : expires <= new Date() ? ['the grant has ended'] : []),
      ...(term.walWanted() && !term.streaming() ? ['WAL is not streamed'] : []),
    ])
  }
}

const health = (problems: string[]): Health => ({ ok: problems.length === 0, problems })
