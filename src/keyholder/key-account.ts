import {
  homePrefix,
  isBackupId,
  parseHistoryKey,
  parseSegmentKey,
  parseTailKey,
  type Home,
  type Previous,
} from '../box/key-names.js'

/** What a key of one life is, where its whole name is one that Postbox gives. */
export type Account =
  | { kind: 'segment'; timeline: number; name: string; mark: string }
  | { kind: 'tail'; timeline: number; name: string; mark: string; previous: Previous; to: bigint }
  | { kind: 'history'; timeline: number }
  | { kind: 'base' | 'dump'; id: string; isManifest: boolean }

/** Names below `base/<id>/` and `dump/<id>/` that Postbox writes, manifests among them. */
const OF_BASE =
  /^((base|\d+)\/\d{6}-[0-9a-f]{12}\.tar\.zst|backup_manifest-[0-9a-f]{12}\.zst|manifest-[0-9a-f]{12}\.json)$/
const OF_DUMP =
  /^([a-z-]+\/\d{6}-[0-9a-f]{12}\.sql\.zst|data\/[^/]+\/\d{6}\.\d{6}-[0-9a-f]{12}\.copy\.zst|manifest-[0-9a-f]{12}\.json)$/

/**
 * What a key of a server's life is, by FORMAT.md; for listing, verifying, rebuilding and pruning alike.
 *
 * Null for whatever Postbox does not account for: that is named, not used, and never deleted.
 */
export function accountOf(home: Home, key: string): Account | null {
  const prefix = homePrefix(home)
  if (!key.startsWith(prefix)) return null
  const [folder, id, ...rest] = key.slice(prefix.length).split('/')
  const name = rest.join('/')
  if ((folder === 'base' && OF_BASE.test(name)) || (folder === 'dump' && OF_DUMP.test(name))) {
    return isBackupId(id!) ? { kind: folder, id: id!, isManifest: name.startsWith('manifest-') } : null
  }
  const segment = parseSegmentKey(key)
  if (segment) return { kind: 'segment', timeline: timelineOf(segment), name: segment.name, mark: segment.sha12 }
  const tail = parseTailKey(key)
  if (tail) {
    const { name: of, sha12: mark, previous, to } = tail
    return { kind: 'tail', timeline: timelineOf(tail), name: of, mark, previous, to }
  }
  const history = parseHistoryKey(key)
  return history && { kind: 'history', timeline: history.timeline }
}

const timelineOf = ({ name }: { name: string }): number => Number.parseInt(name.slice(0, 8), 16)
