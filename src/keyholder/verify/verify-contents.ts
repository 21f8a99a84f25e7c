import { walPrefix, tailsPrefix, parseTailKey, type Home } from '../../box/key-names.js'
import { checkSegment, namedSegment } from '../../wal/page.js'
import type { Archive, StoredObject } from '../archive.js'
import type { LocatedPart } from '../fetch-parts.js'
import { inOrder } from '../in-order.js'
import { asSegment, readSegment } from '../stored-wal.js'
import { unpackParts } from '../unpack-parts.js'
import { decompress } from '../zstd.js'
import { damage, type Problem } from './verify-home.js'

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
      problems.push({ severity: 'error', id, problem: damage(thrown) })
    }
    return part.entry.bytes
  }
  for await (const bytes of inOrder(parts, { atOnce: jobs }, look)) onRead(bytes)
  return problems
}

/** Reads and unpacks all WAL: each segment is of this server and what its name says. */
export async function verifyWal(
  archive: Archive,
  home: Home,
  jobs: number,
  onRead: (bytes: number) => void,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const look = async (object: StoredObject) => {
    try {
      await lookAt(archive, home, object)
    } catch (thrown) {
      problems.push({ severity: 'error', id: null, problem: damage(thrown) })
    }
    return object.bytes
  }
  for (const prefix of [walPrefix(home), tailsPrefix(home)]) {
    for await (const bytes of inOrder(archive.list(prefix), { atOnce: jobs }, look)) onRead(bytes)
  }
  return problems
}

async function lookAt(archive: Archive, home: Home, object: StoredObject): Promise<void> {
  const segment = asSegment(object)
  const tail = parseTailKey(object.key)
  if (segment) {
    const raw = await readSegment(archive, segment)
    checkSegment(raw, namedSegment(segment.name, raw.length), raw.length, home.systemIdentifier)
  } else if (tail) {
    await decompress(await archive.read(object), object.key, Number(tail.to - tail.from))
  } else {
    await archive.read(object)
  }
}
