import {
  homePrefix,
  parseHistoryKey,
  parseSegmentKey,
  parseTailKey,
  type Home,
  type Previous,
} from '../box/key-names.js'
import { PostboxError } from '../errors.js'

/** An object by which a person says whose WAL to follow where two servers wrote the same. */
export interface Follow {
  key: string
  home: Home
  mark: string
  what: { kind: 'segment' | 'tail'; name: string; previous: Previous } | { kind: 'history'; timeline: number }
}

/** Reads the argument of `--follow`: the key of a segment, a tail or a history. Throws `bad_argument`. */
export function parseFollow(key: string): Follow {
  const [, server, systemIdentifier] = /^([^/]+)\/(\d+)\//.exec(key) ?? []
  const home = { server: server ?? '', systemIdentifier: systemIdentifier ?? '' }
  const inHome = key.startsWith(homePrefix(home))
  const history = parseHistoryKey(key)
  if (inHome && history) {
    return { key, home, mark: history.sha12, what: { kind: 'history', timeline: history.timeline } }
  }
  for (const [kind, parsed] of [['segment', parseSegmentKey(key)] as const, ['tail', parseTailKey(key)] as const]) {
    if (inHome && parsed)
      return { key, home, mark: parsed.sha12, what: { kind, name: parsed.name, previous: parsed.previous } }
  }
  throw new PostboxError(
    'bad_argument',
    `"${key}" is no key of a WAL segment, a tail or a history`,
    'Copy a whole key from what "postbox list" says of two servers.',
  )
}
