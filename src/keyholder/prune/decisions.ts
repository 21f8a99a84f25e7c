import { keptByRules, withParents, type RetentionRules } from './retention.js'
import type { StoredFolder } from './stored-folder.js'

/** What becomes of one backup or dump. */
export interface Decision {
  folder: StoredFolder
  action: 'keep' | 'delete'
  /** phrases; all that hold */
  because: string[]
  /** whether somebody should look at it */
  report: boolean
  /** whether moments of the point-in-time window are reached from it */
  neededForWindow: boolean
}

export interface Circumstances {
  now: Date
  incompleteAfterSeconds: number
  /** ids that a person wants gone, although the rules keep them or they are suspicious */
  drop: ReadonlySet<string>
  /** ids that are needed beside the rules, each with the reason */
  needed: ReadonlyMap<string, string>
  /** ids whose deletion an earlier run began: no manifest of them is left */
  halfDeleted: ReadonlySet<string>
}

/** Decides on all base backups, or all dumps, of a server: of all its lives. `rules`: null keeps everything. */
export function decide(
  folders: readonly StoredFolder[],
  rules: RetentionRules | null,
  circumstances: Circumstances,
): Decision[] {
  const kept = rules ? keptOfSeries(folders, rules) : new Map<string, string[]>()
  const lastGood = new Set([...seriesOf(folders).values()].flatMap((series) => newestGood(series)?.id ?? []))
  const decisions = folders.map((folder): Decision => {
    const judge = new Judge(folder, rules, kept, lastGood, circumstances)
    return { folder, ...judge.verdict(), neededForWindow: circumstances.needed.has(folder.id) }
  })
  return keepParents(decisions)

  function keptOfSeries(all: readonly StoredFolder[], by: RetentionRules): Map<string, string[]> {
    const found = new Map<string, string[]>()
    for (const series of seriesOf(all).values()) {
      const good = series.filter(({ state }) => state === 'good')
      for (const [id, why] of keptByRules(good, by, circumstances.now)) found.set(id, why)
      // What cannot be used takes nobody's place, and goes when it would go if it could be used.
      for (const one of series.filter(({ state }) => state === 'unusable')) {
        const own = keptByRules([...good, one], by, circumstances.now).get(one.id)
        if (own) found.set(one.id, own)
      }
    }
    return found
  }
}

function seriesOf(folders: readonly StoredFolder[]): Map<string, StoredFolder[]> {
  return Map.groupBy(folders, ({ series }) => series)
}

function newestGood(series: readonly StoredFolder[]): StoredFolder | null {
  const good = series.filter(({ state }) => state === 'good')
  return good.reduce<StoredFolder | null>((one, two) => (one && one.storedAt >= two.storedAt ? one : two), null)
}

type Verdict = Pick<Decision, 'action' | 'because' | 'report'>

class Judge {
  constructor(
    readonly folder: StoredFolder,
    readonly rules: RetentionRules | null,
    readonly kept: ReadonlyMap<string, string[]>,
    readonly lastGood: ReadonlySet<string>,
    readonly circumstances: Circumstances,
  ) {}

  verdict(): Verdict {
    const { folder, rules } = this
    const { id, state, problems } = folder
    const { drop, needed, halfDeleted } = this.circumstances
    const keep = (because: string[], report = false): Verdict => ({ action: 'keep', because, report })
    const remove = (because: string[], report = false): Verdict => ({ action: 'delete', because, report })

    if (rules?.hold.includes(id)) return keep(['on hold', ...(this.kept.get(id) ?? []), ...problems], state !== 'good')
    if (state === 'incomplete') return this.#incomplete(halfDeleted.has(id), keep, remove)
    if (this.lastGood.has(id)) return keep(this.kept.get(id) ?? ['the last good one'])
    if (drop.has(id)) return remove(['named by --drop', ...problems])
    if (state === 'suspicious') return keep(['suspicious', ...problems, 'deleted by --drop alone'], true)
    if (!rules) return keep(['no rule for it is set'], state !== 'good')
    const why = [...(this.kept.get(id) ?? []), ...(needed.has(id) ? [needed.get(id)!] : [])]
    if (why.length > 0) return keep([...why, ...problems], state !== 'good')
    return remove(state === 'good' ? ['no rule keeps it'] : ['no rule keeps it', ...problems])
  }

  #incomplete(
    begun: boolean,
    keep: (because: string[], report?: boolean) => Verdict,
    remove: (because: string[]) => Verdict,
  ): Verdict {
    if (begun) return remove(['its deletion was begun by an earlier run'])
    const { now, incompleteAfterSeconds: limit } = this.circumstances
    const ageSeconds = (now.getTime() - this.folder.storedAt.getTime()) / 1000
    if (ageSeconds <= limit) return keep(['no manifest yet: it may be being written'])
    return remove([`never finished: no manifest, and nothing was stored for ${Math.floor(ageSeconds / 86_400)} days`])
  }
}

/** A backup that another one builds on stays with it. */
function keepParents(decisions: readonly Decision[]): Decision[] {
  const parents = new Map(decisions.map(({ folder }) => [folder.id, folder.parent]))
  const kept = decisions.filter(({ action }) => action === 'keep').map(({ folder }) => folder.id)
  const needed = withParents(kept, (id) => parents.get(id) ?? null)
  return decisions.map((one) => {
    if (one.action === 'keep' || !needed.has(one.folder.id)) return one
    return { ...one, action: 'keep', because: ['a kept backup builds on it'] }
  })
}

/** Decisions in which these stay too, each with the reason, and what they build on. */
export function keepAlso(decisions: readonly Decision[], reasons: ReadonlyMap<string, string>): Decision[] {
  return keepParents(
    decisions.map((one): Decision => {
      const why = reasons.get(one.folder.id)
      return why === undefined || one.action === 'keep' ? one : { ...one, action: 'keep', because: [why] }
    }),
  )
}
