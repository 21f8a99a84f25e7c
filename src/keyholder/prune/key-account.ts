import {
  homePrefix,
  parseHistoryKey,
  parseSegmentKey,
  parseTailKey,
  tailPrefix,
  timelinePrefix,
  walPrefix,
  type Home,
  type Previous,
} from '../../box/key-names.js'
import { formatTimeline } from '../../wal/segment.js'
import { kindOfKey } from '../verify/key-kind.js'

/** What a key of one life is, where its whole name is one that Postbox gives. */
export type Account =
  | { kind: 'segment'; timeline: number; name: string; mark: string }
  | { kind: 'tail'; timeline: number; name: string; mark: string; previous: Previous; to: bigint }
  | { kind: 'history'; timeline: number }
  | { kind: 'base' | 'dump'; id: string; isManifest: boolean }

const ID = /^\d{8}T\d{6}Z-[0-9a-f]{4}$/

/** Null for whatever Postbox does not account for: that is never deleted. */
export function accountOf(home: Home, key: string): Account | null {
  if (!key.startsWith(homePrefix(home))) return null
  const { kind, id } = kindOfKey(home, key)
  if (kind === 'base' || kind === 'dump') {
    return ID.test(id!) ? { kind, id: id!, isManifest: /\/manifest-[0-9a-f]{12}\.json$/.test(key) } : null
  }
  const named = kind === 'segment' ? parseSegmentKey(key) : kind === 'tail' ? parseTailKey(key) : null
  if (named) {
    const { name, previous, sha12: mark } = named
    const timeline = Number.parseInt(name.slice(0, 8), 16)
    if (kind === 'segment' && key.startsWith(`${timelinePrefix(home, timeline)}${name}-`)) {
      return { kind, timeline, name, mark }
    }
    if (kind === 'tail' && 'to' in named && key.startsWith(tailPrefix(home, timeline, name))) {
      return { kind, timeline, name, mark, previous, to: named.to as bigint }
    }
    return null
  }
  const history = kind === 'history' ? parseHistoryKey(key) : null
  if (!history || !key.startsWith(`${walPrefix(home)}${formatTimeline(history.timeline)}.history-`)) return null
  return { kind: 'history', timeline: history.timeline }
}
