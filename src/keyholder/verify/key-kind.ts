import { homePrefix, parseHistoryKey, parseSegmentKey, parseTailKey, type Home } from '../../box/key-names.js'

export type KeyKind = 'base' | 'dump' | 'segment' | 'tail' | 'history' | 'unknown'

/** Names below `base/<id>/` and `dump/<id>/` that Postbox writes, manifests among them. */
const OF_BASE =
  /^((base|\d+)\/\d{6}-[0-9a-f]{12}\.tar\.zst|backup_manifest-[0-9a-f]{12}\.zst|manifest-[0-9a-f]{12}\.json)$/
const OF_DUMP =
  /^([a-z-]+\/\d{6}-[0-9a-f]{12}\.sql\.zst|data\/[^/]+\/\d{6}\.\d{6}-[0-9a-f]{12}\.copy\.zst|manifest-[0-9a-f]{12}\.json)$/

/** What a key of a server's life names, by FORMAT.md. `id`: of the backup or dump whose folder it is in. */
export function kindOfKey(home: Home, key: string): { kind: KeyKind; id: string | null } {
  const [folder, id, ...rest] = key.slice(homePrefix(home).length).split('/')
  const name = rest.join('/')
  if (folder === 'base' && OF_BASE.test(name)) return { kind: 'base', id: id! }
  if (folder === 'dump' && OF_DUMP.test(name)) return { kind: 'dump', id: id! }
  const kind = parseSegmentKey(key)
    ? 'segment'
    : parseTailKey(key)
      ? 'tail'
      : parseHistoryKey(key)
        ? 'history'
        : 'unknown'
  return { kind, id: null }
}
