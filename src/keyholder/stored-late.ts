import type { Home } from '../box/key-names.js'
import type { Archive } from './archive.js'
import type { StoredBackup } from './stored-backups.js'
import { findHistories } from './stored-wal.js'

/** An honest manifest is stored seconds after its backup has ended; the rest is for clocks, and a box that is slow. */
const WITHIN_MS = 3_600_000

/**
 * Why the time at which a backup says it ended is not to be believed: it was stored much later, by the archive's clock,
 * which no server can set. So looks a backup that was forged to seem older than a break-in; and an honest one that was copied
 * to this bucket, or of a standby that is kept behind. Null for all others.
 */
export function storedLate({ manifest, storedAt }: StoredBackup): string | null {
  if (storedAt.getTime() - Date.parse(manifest.stopped_at) <= WITHIN_MS) return null
  return `it says that it ended at ${manifest.stopped_at}, and was stored at ${storedAt.toISOString()}`
}

/** Which of these timelines had no history stored by `at`, by the archive's clock; and when the first one came. */
export async function begunSince(
  archive: Archive,
  home: Home,
  timelines: readonly number[],
  at: Date,
): Promise<Map<number, Date>> {
  const since = new Map<number, Date>()
  for (const timeline of timelines) {
    const [first] = await findHistories(archive, home, timeline)
    if (first && first.object.storedAt > at) since.set(timeline, first.object.storedAt)
  }
  return since
}
