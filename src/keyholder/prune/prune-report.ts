import { formatLsn } from '../../wal/lsn.js'
import type { Decision } from './decisions.js'
import type { Deletion } from './deletion.js'
import type { Stretch } from './survey.js'

/** What `postbox prune --json` prints. */
export interface PruneReport {
  server: string
  decided_at: string
  confirmed: boolean
  lives: LifeReport[]
  notes: string[]
  /** what is to be deleted, or was; and what is stored beside it, in all versions */
  totals: { delete_objects: number; delete_bytes: number; keep_bytes: number }
}

export interface LifeReport {
  system_identifier: string
  decisions: ReportedDecision[]
  /** WAL that stays, whoever wrote it */
  kept_wal: { timeline: number; from_lsn: string; to_lsn: string | null }[]
  deletions: ReportedDeletions[]
  /** keys that nobody accounts for, some of them; they stay */
  strangers: string[]
  strangers_count: number
  /** plans of an interrupted run, which this one finishes */
  open_plans: string[]
  /** plans that this run stored and closed */
  plans: string[]
  deleted_objects: number
  deleted_bytes: number
  /** what Object Lock kept */
  retained: { key: string; because: string }[]
  notes: string[]
}

export interface ReportedDecision {
  kind: 'base' | 'dump'
  id: string
  state: string
  stored_at: string
  bytes: number
  action: 'keep' | 'delete'
  because: string[]
  report: boolean
}

/** Deletions of one kind for one reason. */
export interface ReportedDeletions {
  kind: Deletion['kind']
  timeline: number | null
  because: string
  objects: number
  bytes: number
}

export function reportDecision({ folder, action, because, report }: Decision): ReportedDecision {
  const { kind, id, state, storedAt, bytes } = folder
  return { kind, id, state, stored_at: storedAt.toISOString(), bytes, action, because, report }
}

/** Adds deletions up, so that memory does not grow with their number. */
export class DeletionCount {
  readonly #groups = new Map<string, ReportedDeletions>()

  add({ kind, timeline, because, bytes }: Deletion): void {
    const group = JSON.stringify([kind, timeline, because])
    const known = this.#groups.get(group) ?? { kind, timeline, because, objects: 0, bytes: 0 }
    this.#groups.set(group, { ...known, objects: known.objects + 1, bytes: known.bytes + bytes })
  }

  get groups(): ReportedDeletions[] {
    return [...this.#groups.values()]
  }
}

/** Joins what overlaps. */
export function reportStretches(stretches: readonly Stretch[]): LifeReport['kept_wal'] {
  const sorted = [...stretches].sort((a, b) => a.timeline - b.timeline || (a.from < b.from ? -1 : 1))
  const joined: Stretch[] = []
  for (const one of sorted) {
    const last = joined.at(-1)
    if (last?.timeline === one.timeline && (last.to === null || last.to >= one.from)) {
      last.to = last.to === null || one.to === null ? null : last.to > one.to ? last.to : one.to
    } else joined.push({ ...one })
  }
  return joined.map(({ timeline, from, to }) => ({
    timeline,
    from_lsn: formatLsn(from),
    to_lsn: to === null ? null : formatLsn(to),
  }))
}
