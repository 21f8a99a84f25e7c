import type { Home } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import { formatLsn, type Lsn } from '../wal/lsn.js'
import type { Archive } from './archive.js'
import { isReplaced, placeOf, startOf, type BackupPlace } from './backup-place.js'
import { damageAsNull } from './damage.js'
import type { RestoreRequest } from './plan.js'
import { reaches } from './reachable.js'
import { begunSince, storedLate } from './stored-late.js'
import { backupIds, readBackup, type BrokenBackup, type StoredBackup } from './stored-backups.js'
import { formatTarget, microsOf } from './target.js'
import { formatMissing, missingSegments, type MissingSegments } from './wal-chain.js'
import { WalMap } from './wal-map.js'
import { findRoute, type Route } from './wal-route.js'

/** A backup, and the way from it that reaches the target. */
export interface Found {
  backup: StoredBackup
  wal: WalMap
  route: Route
}

/** The search for a backup and a timeline, and why it found none. */
export class BackupSearch {
  readonly #known = new Map<string, Promise<StoredBackup | BrokenBackup | null>>()
  readonly #wal = new Map<number, WalMap>()
  /** the oldest backup that was read and passed over because it ended after the target */
  #tooNew: StoredBackup | null = null
  /** ids of backups that began after the target, and were not even read */
  readonly #began: string[] = []
  #readBegan = false
  /** ids of backups that were stored long after they say that they ended, and passed over for that */
  readonly #late = new Set<string>()
  #takeLate = false
  #walMissing: PostboxError | null = null

  constructor(
    readonly archive: Archive,
    readonly home: Home,
    readonly request: RestoreRequest,
    readonly notes: string[],
    /** system identifiers of the server's other lives */
    readonly others: readonly string[],
  ) {}

  async run(): Promise<Found | null> {
    const found = await this.#searchOfTheTime()
    return found ?? (await this.#search()) ?? (await this.#searchLate()) ?? (await this.#searchBegan())
  }

  /**
   * A timeline whose history was stored after the time that is wanted is none of that time, wherever it says that it left:
   * a restore has begun it since, or an intruder made it up. It is followed where those of the time do not reach the target.
   */
  async #searchOfTheTime(): Promise<Found | null> {
    const { target, timeline } = this.request
    if (target.kind !== 'time' || timeline !== 'latest') return null
    const all = await this.#storedTimelines()
    const since = await begunSince(this.archive, this.home, all, new Date(Number(target.micros / 1000n)))
    if (since.size === 0) return null
    const ofTheTime = all.filter((one) => !since.has(one))
    const found = await this.#search(null, ofTheTime)
    if (!found || !(await reaches(found.wal, found.route, found.backup.manifest, this.request))) return null
    for (const [one, storedAt] of since) {
      this.#note(
        `timeline ${one} was begun after that time, at ${storedAt.toISOString()}: it is followed by --target-timeline ${one}`,
      )
    }
    return found
  }

  /** What seems to be forged is taken where nothing else reaches the target: after a bucket was copied, all seems so. */
  async #searchLate(): Promise<Found | null> {
    this.#takeLate = true
    return this.#late.size === 0 ? null : await this.#search([...this.#late])
  }

  /**
   * A standby may lag, or be kept behind on purpose: its backup then goes back to a time before it was begun. It is
   * looked for only where nothing else reaches the target, as each backup would have to be read for it.
   */
  async #searchBegan(): Promise<Found | null> {
    const ids = [...new Set(this.#began.splice(0))].sort()
    this.#readBegan = true
    for (const id of ids) {
      const found = await this.#search([id])
      if (found || this.#tooNew) return found
    }
    return null
  }

  async #search(only: string[] | null = null, timelines: number[] | null = null): Promise<Found | null> {
    const { backupId } = this.request
    const ids = only ?? (backupId === null ? await backupIds(this.archive, this.home) : [backupId])
    for (const timeline of timelines ?? (await this.#timelines())) {
      const offWay: string[] = []
      for (const id of ids) {
        const found = await this.#try(id, timeline, offWay)
        if (!found) continue
        if (offWay.length > 0) this.#note(`newer backups are not on the way to timeline ${timeline!}: ${some(offWay)}`)
        return found
      }
    }
    return null
  }

  async failure(): Promise<PostboxError> {
    const { backupId, target, timeline, server } = this.request
    if (this.#walMissing) return this.#walMissing
    const lives = this.others.length === 0 ? '' : ` Its other lives: --system-identifier ${this.others.join(', ')}.`
    const list = `Run "postbox list --server ${server}" to see what can be restored.${lives}`
    if (this.#tooNew) {
      const { backup_id, stopped_at, stop_lsn } = this.#tooNew.manifest
      const which = backupId === null ? 'the first backup that can be used' : 'that backup'
      const message = `${formatTarget(target)} is before ${which}, ${backup_id}, ended at ${stopped_at}, ${stop_lsn}`
      return new PostboxError('target_unreachable', message, list)
    }
    const { follow } = this.request
    if (follow) {
      const message = `no way of recovery leads through ${follow.key}`
      const hint = 'Name another --backup or --target-timeline, or another key. ' + list
      return new PostboxError('target_unreachable', message, hint)
    }
    if (typeof timeline === 'number') {
      const message = `no stored backup of ${server} leads to timeline ${timeline}`
      return new PostboxError('target_unreachable', message, list)
    }
    const which = backupId === null ? 'no finished base backup' : `no finished base backup ${backupId}`
    return new PostboxError('backup_missing', `there is ${which} of server ${server} in the archive`, list)
  }

  /** Timelines to try, best first; null stands for the backup's own. */
  async #timelines(): Promise<(number | null)[]> {
    const { timeline } = this.request
    if (timeline === 'current') return [null]
    if (timeline !== 'latest') return [timeline]
    return [...(await this.#storedTimelines()), null]
  }

  /** Newest first. */
  async #storedTimelines(): Promise<number[]> {
    // The size of segments does not matter for names of timelines.
    return (await this.#walMap(16 * 1024 * 1024).timelines()).toReversed()
  }

  async #try(backupId: string, timeline: number | null, offWay: string[]): Promise<Found | null> {
    const backup = await this.#usable(backupId)
    if (!backup) return null
    const place = placeOf(backup)
    if (this.#endsAfterTarget(backup, place)) return null

    const wal = this.#walMap(backup.manifest.wal_segment_bytes)
    const target = timeline ?? place.timeline
    const route = await this.#route(wal, place, target)
    if (route === 'damaged') return null
    if (!route) {
      offWay.push(backupId)
      if (target !== place.timeline && !(await wal.histories.of(target))) {
        this.#note(`timeline ${target} has WAL, but its history is not stored`)
      }
      return null
    }
    if (route.end < place.stopLsn || (await isReplaced(wal, place))) {
      const missing = missingSegments(route.way, route.runs, place.startLsn, place.stopLsn, wal.segmentBytes)
      this.#walMissing ??= walMissing(backupId, missing, route.end)
      this.#note(`backup ${backupId} cannot be used: ${this.#walMissing.message}`)
      return null
    }
    if (!route.arrived) {
      this.#note(`timeline ${route.target} cannot be entered: WAL is missing from ${formatLsn(route.end)}`)
      return null
    }
    return { backup, wal, route }
  }

  /** The way to a timeline. Whoever holds a grant can post its history, so that damage costs no more than that timeline. */
  async #route(wal: WalMap, place: BackupPlace, target: number): Promise<Route | null | 'damaged'> {
    try {
      return await findRoute(wal, place, target)
    } catch (thrown) {
      if (target === place.timeline || target === this.request.timeline) throw thrown
      damageAsNull(thrown)
      this.#note(`timeline ${target} cannot be followed: ${(thrown as PostboxError).message}`)
      return 'damaged'
    }
  }

  /** The backup, if it is one that can be restored at all. */
  async #usable(backupId: string): Promise<StoredBackup | null> {
    const { target } = this.request
    // An id begins with the time of its start: most that are too new need not be read.
    if (!this.#readBegan && target.kind === 'time' && startOf(backupId) > target.micros) {
      this.#began.push(backupId)
      return null
    }
    const backup = await this.#read(backupId)
    if (!backup) return null
    for (const suspicion of backup.suspicions) this.#note(`suspicious: ${suspicion}`)
    if (backup.state !== 'committed') {
      this.#note(`backup ${backupId} cannot be used: ${backup.problem}`)
      return null
    }
    const late = this.request.backupId === null ? storedLate(backup) : null
    if (late === null || this.#takeLate) return backup
    this.#note(`suspicious: backup ${backupId} is taken only where no other will do: ${late}`)
    this.#late.add(backupId)
    return null
  }

  #read(backupId: string): Promise<StoredBackup | BrokenBackup | null> {
    let read = this.#known.get(backupId)
    if (!read) this.#known.set(backupId, (read = readBackup(this.archive, this.home, backupId)))
    return read
  }

  #endsAfterTarget(backup: StoredBackup, { stopLsn }: BackupPlace): boolean {
    const { target } = this.request
    const stoppedAt = microsOf(new Date(backup.manifest.stopped_at))
    const after =
      (target.kind === 'time' && target.micros < stoppedAt) || (target.kind === 'lsn' && target.lsn < stopLsn)
    if (after && (!this.#tooNew || backup.backupId < this.#tooNew.backupId)) this.#tooNew = backup
    return after
  }

  #walMap(segmentBytes: number): WalMap {
    let map = this.#wal.get(segmentBytes)
    if (!map) {
      map = new WalMap(this.archive, this.home, segmentBytes, this.request.follow ?? null)
      this.#wal.set(segmentBytes, map)
    }
    return map
  }

  #note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text)
  }
}

const NAMES_SHOWN = 5

function some(names: string[]): string {
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : ''
  return names.slice(0, NAMES_SHOWN).join(', ') + more
}

function walMissing(backupId: string, missing: MissingSegments, end: Lsn): PostboxError {
  const stored = missing.count === 0
  return new PostboxError(
    'wal_missing',
    stored
      ? `WAL that backup ${backupId} needs is stored from ${formatLsn(end)} on by another server alone`
      : `WAL that backup ${backupId} needs is not stored: ${formatMissing(missing)}`,
    'If the backup has just ended, its last segment may be on its way; otherwise restore another backup.',
  )
}
