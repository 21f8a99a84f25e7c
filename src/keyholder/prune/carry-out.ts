import type { Home } from '../../box/key-names.js'
import { inOrder } from '../in-order.js'
import type { DeletableArchive } from './deletable-archive.js'
import type { Deletion } from './deletion.js'
import type { FolderDeletions } from './folder-deletions.js'
import { closePlan, storePlan } from './prune-plan.js'

/** What was done. */
export interface Outcome {
  plans: string[]
  objects: number
  bytes: number
  /** what Object Lock kept */
  retained: { key: string; because: string }[]
}

const DELETED_AT_ONCE = 16
const KEYS_IN_A_PLAN = 20_000

/** Stores plans of one life, does what they say, and closes them. */
export class Execution {
  readonly outcome: Outcome = { plans: [], objects: 0, bytes: 0, retained: [] }

  constructor(
    readonly archive: DeletableArchive,
    readonly home: Home,
  ) {}

  /**
   * Deletes backups and dumps, in this order. False: a manifest could not be deleted, and so its backup stays whole and
   * needs its WAL.
   */
  async folders(folders: readonly FolderDeletions[]): Promise<boolean> {
    let whole = true
    for (const batch of batches(folders)) {
      const deletions = batch.flatMap(({ manifests, parts }) => [...manifests, ...parts])
      await this.#planned(deletions, async () => {
        for (const { manifests, parts } of batch) {
          // All versions of all manifests, before any part goes: half a backup is never offered.
          const gone = await this.#delete(manifests)
          if (gone) await this.#delete(parts)
          whole &&= gone
        }
      })
    }
    return whole
  }

  /** Deletes WAL, a plan at a time. */
  async wal(deletions: AsyncIterable<Deletion>): Promise<void> {
    let batch: Deletion[] = []
    const flush = async () => {
      const all = batch
      batch = []
      if (all.length > 0) await this.#planned(all, () => this.#delete(all))
    }
    for await (const deletion of deletions) {
      batch.push(deletion)
      if (batch.length >= KEYS_IN_A_PLAN) await flush()
    }
    await flush()
  }

  async #planned(deletions: readonly Deletion[], work: () => Promise<unknown>): Promise<void> {
    const { outcome, archive, home } = this
    const before = { objects: outcome.objects, retained: outcome.retained.length }
    const planId = await storePlan(archive, home, deletions)
    outcome.plans.push(planId)
    await work()
    const deleted = outcome.objects - before.objects
    await closePlan(archive, home, planId, { by: 'itself', deleted, retained: outcome.retained.slice(before.retained) })
  }

  /** Whether all of them are gone. */
  async #delete(deletions: readonly Deletion[]): Promise<boolean> {
    let all = true
    for await (const { deletion, retained } of inOrder(deletions, { atOnce: DELETED_AT_ONCE }, (one) =>
      this.#one(one),
    )) {
      if (retained === null) {
        this.outcome.objects += 1
        this.outcome.bytes += deletion.bytes
      } else {
        this.outcome.retained.push({ key: deletion.key, because: retained })
        all = false
      }
    }
    return all
  }

  /** The versions of one key, one after the other: markers last. */
  async #one(deletion: Deletion): Promise<{ deletion: Deletion; retained: string | null }> {
    let retained: string | null = null
    for (const version of deletion.versions) {
      const result = await this.archive.remove(version)
      if (result !== 'removed') retained ??= result.retained
    }
    return { deletion, retained }
  }
}

/** Whole folders, so many that a plan does not grow without limit. */
function* batches(folders: readonly FolderDeletions[]): Generator<FolderDeletions[]> {
  let batch: FolderDeletions[] = []
  let keys = 0
  for (const folder of folders) {
    const own = folder.manifests.length + folder.parts.length
    if (own === 0) continue
    if (batch.length > 0 && keys + own > KEYS_IN_A_PLAN) {
      yield batch
      batch = []
      keys = 0
    }
    batch.push(folder)
    keys += own
  }
  if (batch.length > 0) yield batch
}
