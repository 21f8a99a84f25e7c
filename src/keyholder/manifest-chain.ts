import type { Summary } from './list-server.js'
import type { PrunedManifests } from './prune/pruned-manifests.js'
import type { BrokenBackup } from './stored-backups.js'

/** Of a backup: one that was stored is not there any more, and prune does not say that it deleted it. */
export const MANIFEST_GONE = 'the manifest before it is not the one that it names: it was removed or changed'
/** Of a backup whose catalog was new: nothing is known to be missing. */
export const NAMES_NO_MANIFEST =
  'it names no manifest before it, and there are older ones: it knew of none, or was forged'

/** Each manifest names the one before it, which may have been pruned. */
export async function addBrokenChain(
  found: readonly (Summary | BrokenBackup)[],
  pruned: PrunedManifests,
): Promise<void> {
  const committed = found.filter((one) => one.state === 'committed')
  const known = new Set(committed.map((one) => one.sha256))
  const later = committed.slice(0, -1)
  const named = later.flatMap(({ previous }) => previous ?? []).filter((previous) => !known.has(previous))
  const missing = await pruned.unexplained(named.map((previous) => previous.slice(0, 12)))
  for (const { previous, row } of later) {
    if (previous !== null && (known.has(previous) || !missing.has(previous.slice(0, 12)))) continue
    // A server that was restored from its first backup has forgotten all before, and begins on a timeline of its own. By
    // time, as ids of one second have no order.
    const older = committed.filter((one) => one.row.started_at! < row.started_at!)
    if (previous === null && older.every(({ place }) => place.timeline < row.timeline!)) continue
    row.problems.push(previous === null ? NAMES_NO_MANIFEST : MANIFEST_GONE)
  }
}
