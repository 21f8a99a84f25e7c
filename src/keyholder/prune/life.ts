import type { Home } from '../../box/key-names.js'
import { PostboxError } from '../../errors.js'
import { WalMap } from '../wal-map.js'
import type { Decision } from './decisions.js'
import { versionsOf, type DeletableArchive, type Retained } from './deletable-archive.js'
import { neededForWindow } from './point-in-time.js'
import { begunFolders, openPlans, type OpenPlan } from './prune-plan.js'
import { checkWal, prefixOf, readFolders, uidOf, type StoredFolder } from './stored-folder.js'
import { surveyHome, type Survey } from './survey.js'

/** Everything that prune knows of one life of a server before it decides. */
export interface Life {
  home: Home
  survey: Survey
  folders: StoredFolder[]
  /** plans that an interrupted run has left */
  plans: OpenPlan[]
  /** by id: what those plans were deleting, of folders that are not whole any more */
  begun: ReadonlyMap<string, ReadonlySet<string>>
  /** base backups that the point-in-time window needs, by uidOf(), each with the reason */
  needed: ReadonlyMap<string, string>
  notes: string[]
}

/** How far the archive's clock may be ahead of ours. */
const CLOCKS_MS = 15 * 60_000

/** Reads one life. `since`: start of the point-in-time window, or null. */
export async function readLife(archive: DeletableArchive, home: Home, since: Date | null): Promise<Life> {
  const notes: string[] = []
  const plans = await openPlans(archive, home, notes)
  const survey = await surveyHome(archive, home)
  const folders = await readFolders(archive, home)
  checkClock(archive.now(), folders)
  const sizes = new Set(folders.flatMap(({ place }) => place?.segmentBytes ?? []))
  const needed = new Map<string, string>()
  for (const segmentBytes of sizes) {
    const wal = new WalMap(archive, home, segmentBytes)
    const own = folders.filter(({ place }) => place?.segmentBytes === segmentBytes)
    // First, so that each timeline is listed once.
    for (const timeline of survey.walStoredAt.keys()) await wal.wal(timeline, 0n)
    await checkWal(wal, own)
    if (since === null) continue
    for (const [uid, why] of await neededForWindow(wal, survey, own, since)) needed.set(uid, why)
  }
  const begun = begunFolders(home, plans)
  for (const { id, committed } of folders) if (committed) begun.delete(id)
  return { home, survey, folders, plans, begun, needed, notes }
}

/** What was stored in our future shows that this clock is behind: nothing could be told to be old or new. */
function checkClock(now: Date, folders: readonly StoredFolder[]): void {
  for (const { id, storedAt } of folders) {
    if (storedAt.getTime() <= now.getTime() + CLOCKS_MS) continue
    const message = `the archive's clock is ahead of this machine's: ${id} was stored at ${storedAt.toISOString()}`
    throw new PostboxError('clock_skew', message, 'Set this clock right; nothing was deleted.')
  }
}

/** Of those that are to be deleted: the ones whose manifest cannot be, by uidOf(), each with the reason. */
export async function lockedFolders(
  archive: DeletableArchive,
  decisions: readonly Decision[],
): Promise<Map<string, string>> {
  const locked = new Map<string, string>()
  for (const { folder, action } of decisions) {
    if (action === 'keep') continue
    for await (const key of archive.keys(`${prefixOf(folder)}manifest-`)) {
      for (const version of versionsOf(key)) {
        const lock: Retained | null = await archive.retention(version)
        if (lock) locked.set(uidOf(folder), `${lock.retained}; no rule keeps it longer`)
      }
    }
  }
  return locked
}
