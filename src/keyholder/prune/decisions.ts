import { lastOnes, type LastOnes } from './last-ones.js'
import { keptByRules, NEWEST, withParents, type Candidate, type RetentionRules } from './retention.js'
import { uidOf, type StoredFolder } from './stored-folder.js'

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
  /** whether its life goes on in no other that is proved: its WAL stays up to the end */
  lastOfLife: boolean
}

export interface Circumstances {
  now: Date
  incompleteAfterSeconds: number
  /** what a person wants gone, although the rules keep it or it is suspicious; this and the next two by uidOf() */
  drop: ReadonlySet<string>
  /** what is needed beside the rules, each with the reason */
  needed: ReadonlyMap<string, string>
  /** whose deletion an earlier run began: no manifest that can be believed is left */
  halfDeleted: ReadonlySet<string>
  /** by system identifier, when the newest good base backup was stored that a drill has proved */
  proved: ReadonlyMap<string, Date>
}

const LAST_OF_LIFE =
  'the last good one of its life, and no drill has proved a later backup of another; deleted by --drop alone'

/** Decides on all base backups, or all dumps, of a server: of all its lives. `rules`: null keeps everything. */
export function decide(
  folders: readonly StoredFolder[],
  rules: RetentionRules | null,
  circumstances: Circumstances,
): Decision[] {
  const kept = rules ? keptOfSeries(folders, rules) : new Map<string, string[]>()
  const last = lastOnes(folders, circumstances)
  const decisions = folders.map((folder): Decision => {
    const judge = new Judge(folder, rules, kept, last, circumstances)
    const uid = uidOf(folder)
    const of = { neededForWindow: circumstances.needed.has(uid), lastOfLife: last.ofLives.has(uid) }
    return { folder, ...judge.verdict(), ...of }
  })
  return keepParents(decisions)

  function keptOfSeries(all: readonly StoredFolder[], by: RetentionRules): Map<string, string[]> {
    const found = new Map<string, string[]>()
    for (const series of seriesOf(all).values()) {
      const good = goodOf(series)
      for (const [id, why] of keptByRules(good, by, circumstances.now)) found.set(id, why)
      // What cannot be used takes nobody's place, and goes when it would go if it could be used.
      for (const one of series.filter(({ state }) => state === 'unusable').map(asCandidate)) {
        const own = keptByRules([...good, one], by, circumstances.now).get(one.id)
        if (own)
          found.set(
            one.id,
            own.map((why) => (why === NEWEST ? 'newer than all that are good' : why)),
          )
      }
    }
    return found
  }
}

function seriesOf(folders: readonly StoredFolder[]): Map<string, StoredFolder[]> {
  return Map.groupBy(folders, ({ series }) => series)
}

const asCandidate = (folder: StoredFolder): Candidate => ({ id: uidOf(folder), storedAt: folder.storedAt })

function goodOf(series: readonly StoredFolder[]): Candidate[] {
  return series.filter(({ state }) => state === 'good').map(asCandidate)
}

type Verdict = Pick<Decision, 'action' | 'because' | 'report'>

class Judge {
  constructor(
    readonly folder: StoredFolder,
    readonly rules: RetentionRules | null,
    readonly kept: ReadonlyMap<string, string[]>,
    readonly last: LastOnes,
    readonly circumstances: Circumstances,
  ) {}

  verdict(): Verdict {
    const { folder, rules } = this
    const { state, problems, committed } = folder
    const uid = uidOf(folder)
    const { drop, needed, halfDeleted } = this.circumstances
    const keep = (because: string[], report = false): Verdict => ({ action: 'keep', because, report })
    const remove = (because: string[], report = false): Verdict => ({ action: 'delete', because, report })

    if (rules?.hold.includes(folder.id))
      return keep(['on hold', ...(this.kept.get(uid) ?? []), ...problems], state !== 'good')
    if (!committed && halfDeleted.has(uid)) return remove(['its deletion was begun by an earlier run'])
    if (state === 'incomplete') return this.#incomplete(keep, remove)
    if (this.last.undroppable.has(uid)) return keep(this.kept.get(uid) ?? [NEWEST])
    if (drop.has(uid)) return remove(['named by --drop', ...problems])
    if (state === 'suspicious') return keep(['suspicious', ...problems, 'deleted by --drop alone'], true)
    if (!rules) return keep(['no rule for it is set'], state !== 'good')
    const why = [...(this.kept.get(uid) ?? []), ...(needed.has(uid) ? [needed.get(uid)!] : [])]
    if (why.length > 0) return keep([...why, ...problems], state !== 'good')
    if (this.last.ofLives.has(uid)) return keep([LAST_OF_LIFE, ...problems], true)
    return remove(state === 'good' ? ['no rule keeps it'] : ['no rule keeps it', ...problems])
  }

  #incomplete(keep: (because: string[], report?: boolean) => Verdict, remove: (because: string[]) => Verdict): Verdict {
    const { now, incompleteAfterSeconds: limit } = this.circumstances
    const ageSeconds = (now.getTime() - this.folder.storedAt.getTime()) / 1000
    if (ageSeconds <= limit) return keep(['no manifest yet: it may be being written'])
    return remove([`never finished: no manifest, and nothing was stored for ${Math.floor(ageSeconds / 86_400)} days`])
  }
}

/** A backup that another one builds on stays with it. */
function keepParents(decisions: readonly Decision[]): Decision[] {
  const parentOf = ({ home, parent }: StoredFolder) => (parent === null ? null : uidOf({ home, id: parent }))
  const parents = new Map(decisions.map(({ folder }) => [uidOf(folder), parentOf(folder)]))
  const kept = decisions.filter(({ action }) => action === 'keep').map(({ folder }) => uidOf(folder))
  const needed = withParents(kept, (uid) => parents.get(uid) ?? null)
  return decisions.map((one) => {
    if (one.action === 'keep' || !needed.has(uidOf(one.folder))) return one
    return { ...one, action: 'keep', because: ['a kept backup builds on it'] }
  })
}

/** Decisions in which these stay too, each with the reason, and what they build on. */
export function keepAlso(decisions: readonly Decision[], reasons: ReadonlyMap<string, string>): Decision[] {
  return keepParents(
    decisions.map((one): Decision => {
      const why = reasons.get(uidOf(one.folder))
      return why === undefined || one.action === 'keep' ? one : { ...one, action: 'keep', because: [why] }
    }),
  )
}
