import type { Lsn } from '../../wal/lsn.js'
import { segmentStart, type Segment } from '../../wal/segment.js'
import { findWay } from '../wal-chain.js'
import type { Decision } from './decisions.js'
import { momentOf } from './point-in-time.js'
import type { StoredFolder } from './stored-folder.js'
import type { Stretch, Survey } from './survey.js'

/** WAL is left alone for so long after it was stored: a backup that begins just now may need it. */
export const SETTLED_MS = 86_400_000
/** A backup's WAL begins before its first object is stored, by a checkpoint that may be spread over hours. */
const BEFORE_BACKUP_MS = 2 * 86_400_000

export interface WalQuestion {
  survey: Survey
  /** of the base backups of this life */
  decisions: readonly Decision[]
  now: Date
  /** start of the point-in-time window; null: there is none, and WAL stays from the oldest backup on */
  since: Date | null
  incompleteAfterSeconds: number
  /** whether another life of the server has a good backup that stays */
  goesOnElsewhere: boolean
}

/** Which WAL of one life of a server is no longer needed, and why. */
export class WalNeeds {
  /** null: no WAL may be deleted; the reason stands in `notes` */
  readonly segmentBytes: number | null
  readonly notes: string[] = []
  /** nothing of this life is kept, and it is long over */
  readonly isSpent: boolean
  readonly #stretches: Stretch[] = []
  readonly #oldest: Lsn | null
  readonly #writingSince: number
  readonly #question: WalQuestion

  constructor(question: WalQuestion) {
    this.#question = question
    const kept = question.decisions.filter(({ action }) => action === 'keep').map(({ folder }) => folder)
    const placed = kept.filter(({ place }) => place !== null)
    // Still being written, or its manifest cannot be read: any WAL since it was begun may be what it needs.
    const unplaced = kept.filter(({ place }) => place === null)
    const first = unplaced.map(({ firstStoredAt }) => firstStoredAt.getTime() - BEFORE_BACKUP_MS)
    this.#writingSince = Math.min(Infinity, ...first)
    for (const { id } of unplaced.filter(({ state }) => state !== 'incomplete')) {
      this.notes.push(
        `where ${id} lies cannot be told: WAL that was stored since it was begun stays as long as it does`,
      )
    }
    const sizes = new Set(question.decisions.flatMap(({ folder }) => folder.place?.segmentBytes ?? []))
    this.segmentBytes = sizes.size === 1 ? [...sizes][0]! : null
    if (sizes.size > 1) this.notes.push('its backups have WAL segments of different sizes: no WAL is deleted')
    this.#oldest = placed.reduce<Lsn | null>((least, one) => lesser(least, startOf(one)), null)
    this.isSpent = kept.length === 0 && this.#isOver()
    for (const folder of placed) this.#add(folder)
    if (question.survey.unknownTimelines.length > 0 && placed.length > 0) {
      const timelines = question.survey.unknownTimelines.join(', ')
      this.notes.push(`the origin of timeline ${timelines} cannot be told: WAL goes in front of the oldest backup only`)
    }
  }

  /** What stays, stretch by stretch. */
  get stretches(): readonly Stretch[] {
    return this.#stretches
  }

  /** Why a segment that was stored then can go, with its tails; null when it stays. */
  spent({ timeline, start }: Segment, storedAt: Date): string | null {
    const { now, survey, incompleteAfterSeconds } = this.#question
    const age = now.getTime() - storedAt.getTime()
    if (this.isSpent) return 'no backup of this life of the server is kept'
    if (this.#oldest === null || age < SETTLED_MS || storedAt.getTime() >= this.#writingSince) return null
    if (start < this.#oldest) return 'in front of the oldest kept backup'
    if (survey.unknownTimelines.length > 0) return null
    const own = this.#stretches.filter((one) => one.timeline === timeline)
    if (own.some(({ from, to }) => from <= start && (to === null || start < to))) return null
    if (own.length > 0) return 'between kept backups, in front of the point-in-time window'
    // A server that was promoted just now has no backup on its new timeline yet.
    return age > incompleteAfterSeconds * 1000 ? 'of a timeline that no kept backup leads to' : null
  }

  #isOver(): boolean {
    const { survey, now, incompleteAfterSeconds, goesOnElsewhere } = this.#question
    const { lastStoredAt } = survey
    if (!goesOnElsewhere || lastStoredAt === null) return false
    return now.getTime() - lastStoredAt.getTime() > incompleteAfterSeconds * 1000
  }

  #add(folder: StoredFolder): void {
    const place = folder.place!
    const { since, survey, decisions } = this.#question
    const own = { timeline: place.timeline, from: startOf(folder) }
    // Any grant can make a backup look suspicious: that must not cost the WAL of the window that begins with it.
    const isBefore = since !== null && momentOf(folder) < since.getTime() && folder.state !== 'suspicious'
    if (isBefore && !leadsFurther(folder, decisions)) {
      const last = segmentStart(place.stopLsn - 1n, place.segmentBytes)
      this.#stretches.push({ ...own, to: last + BigInt(place.segmentBytes) })
      return
    }
    this.#stretches.push({ ...own, to: null })
    for (const [timeline, histories] of survey.histories) {
      if (timeline === place.timeline) continue
      for (const history of histories) {
        this.#stretches.push(...(findWay(place, timeline, history, place.segmentBytes) ?? []))
      }
    }
  }
}

const startOf = ({ place }: StoredFolder): Lsn => segmentStart(place!.startLsn, place!.segmentBytes)

const lesser = (a: Lsn | null, b: Lsn): Lsn => (a === null || b < a ? b : a)

/** Into the window, or to the last that is known of its life. */
function leadsFurther(folder: StoredFolder, decisions: readonly Decision[]): boolean {
  return decisions.some((one) => one.folder === folder && (one.neededForWindow || one.lastOfLife))
}
