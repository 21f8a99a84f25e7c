import { parseHistoryKey, walPrefix, tailsPrefix, type Home } from '../../box/key-names.js'
import { checkSegment, namedSegment } from '../../wal/page.js'
import { PostboxError } from '../../errors.js'
import type { Archive, StoredObject } from '../archive.js'
import type { LocatedPart } from '../fetch-parts.js'
import { inOrder } from '../in-order.js'
import { summariseAll } from '../list-server.js'
import { asSegment, readHistory, readSegment, type StoredSegment } from '../stored-wal.js'
import { parseTimelineHistory } from '../../wal/timeline-history.js'
import { unpackParts } from '../unpack-parts.js'
import { decompress } from '../zstd.js'
import { wrongLength } from './join-tails.js'
import { damage, damageOf, lost, odd, type Problem } from './problem.js'
import { TailGroups, uncovered, type PlacedTail } from './tail-groups.js'

/** Reads and unpacks every part of a backup or dump: bytes, SHA-256 and size are what the manifest says. */
export async function verifyParts(
  archive: Archive,
  id: string,
  parts: readonly LocatedPart[],
  jobs: number,
  onRead: (bytes: number) => void,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const look = async (part: LocatedPart) => {
    try {
      for await (const { raw } of unpackParts(archive, [part], { fetches: 1, frames: 2 })) void raw
    } catch (thrown) {
      problems.push(lost(damage(thrown), id))
    }
    return part.entry.bytes
  }
  for await (const bytes of inOrder(parts, { atOnce: jobs }, look)) onRead(bytes)
  return problems
}

/**
 * Reads and unpacks all WAL: each segment is of this server and what its name says, each history too. Tails that no whole
 * segment stands in for are verifyHome()'s; of the others nothing is lost.
 */
export async function verifyWal(
  archive: Archive,
  home: Home,
  jobs: number,
  onRead: (bytes: number) => void,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const look = async (object: StoredObject) => {
    const damaged = await damageOf(lookAt(archive, home, object))
    if (damaged !== null) problems.push(lost(damaged))
    return object.bytes
  }
  for await (const bytes of inOrder(archive.list(walPrefix(home)), { atOnce: jobs }, look)) onRead(bytes)
  problems.push(...(await verifyTails(archive, home, jobs, onRead)))
  return problems
}

async function verifyTails(
  archive: Archive,
  home: Home,
  jobs: number,
  onRead: (bytes: number) => void,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const { committed, segmentBytes } = await summariseAll(archive, home)
  const isKnown = committed.length > 0
  const look = async (tail: PlacedTail) => {
    const damaged = await damageOf(readTail(archive, tail))
    if (damaged !== null) problems.push(isKnown ? odd(`${damaged}; its segment is stored whole`) : lost(damaged))
    return tail.object.bytes
  }
  const groups = new TailGroups(archive, home, segmentBytes, async (group) => {
    const others = new Set(isKnown ? uncovered(group) : [])
    for (const { object } of others) onRead(object.bytes)
    const tails = group.tails.filter((tail) => !others.has(tail))
    for await (const bytes of inOrder(tails, { atOnce: jobs }, look)) onRead(bytes)
  })
  for await (const object of archive.list(tailsPrefix(home))) await groups.see(object)
  await groups.end()
  return problems
}

async function lookAt(archive: Archive, home: Home, object: StoredObject): Promise<void> {
  const segment = asSegment(object)
  const history = parseHistoryKey(object.key)
  if (segment) {
    await checkContent(archive, home, segment)
  } else if (history) {
    const raw = await readHistory(archive, { timeline: history.timeline, mark: history.sha12, object })
    parseTimelineHistory(raw.toString('utf8'))
  } else {
    await archive.read(object)
  }
}

/** Reads a segment. Throws `object_damaged` or `wal_invalid` when it is not what its name says. */
export async function checkContent(archive: Archive, home: Home, segment: StoredSegment): Promise<void> {
  const raw = await readSegment(archive, segment)
  checkSegment(raw, namedSegment(segment.name, raw.length), raw.length, home.systemIdentifier)
}

async function readTail(archive: Archive, { object, from, to }: PlacedTail): Promise<void> {
  const raw = await decompress(await archive.read(object), object.key, Number(to - from))
  if (BigInt(raw.length) === to - from) return
  throw new PostboxError('object_damaged', wrongLength(object.key, raw.length), 'Look at its other versions.')
}
