import { hash } from 'node:crypto'
import { parseManifestName, sha12 } from '../box/key-names.js'
import { PostboxError } from '../errors.js'
import type { Archive, StoredObject } from './archive.js'

/** A folder whose manifest is there: a base backup or a dump that was finished. */
export interface Commit<Manifest> {
  state: 'committed'
  manifest: Manifest
  manifestKey: string
  /** hex, of the manifest object */
  manifestSha256: string
  /** when the manifest was stored, by the archive's clock */
  storedAt: Date
  /** what an honest worker would not have stored: one sentence each */
  suspicions: string[]
}

/** A folder that nothing can be restored from: never finished, or its manifest cannot be trusted. */
export interface Broken {
  state: 'incomplete' | 'damaged'
  problem: string
  suspicions: string[]
}

/** No text in Node is longer. A grant's usual limit is 64 MiB. */
const LARGEST_BYTES = 0x1fff_ffe8
/** Most are smaller: that is of some ten thousand parts. */
const LARGE_BYTES = 4 * 1024 * 1024

/**
 * The earliest manifest right under `prefix`; null when nothing is stored there (any more).
 *
 * `read` throws a PostboxError for one that is not to be believed.
 */
export async function readCommit<Manifest>(
  archive: Archive,
  prefix: string,
  read: (key: string, content: Buffer) => Manifest,
): Promise<Commit<Manifest> | Broken | null> {
  const candidates: { object: StoredObject; mark: string }[] = []
  for await (const object of archive.list(`${prefix}manifest-`)) {
    const mark = parseManifestName(object.key.slice(prefix.length))
    if (mark !== null) candidates.push({ object, mark })
  }
  candidates.sort(({ object: a }, { object: b }) => {
    return a.storedAt.getTime() - b.storedAt.getTime() || (a.key < b.key ? -1 : 1)
  })
  if (candidates.length === 0) return incomplete(archive, prefix)

  const suspicions = candidates.flatMap(({ object }) => (object.storedOver ? [`${object.key} was stored over`] : []))
  for (const [index, { object, mark }] of candidates.entries()) {
    if (object.bytes > LARGEST_BYTES) {
      suspicions.push(`${object.key} has ${object.bytes} bytes, more than any manifest`)
      continue
    }
    const found = await inTurn(object.bytes > LARGE_BYTES, () => readOne(archive, object, mark, read))
    if (found === null) {
      suspicions.push(`${object.key} holds other bytes than its name says`)
      continue
    }
    for (const later of candidates.slice(index + 1)) suspicions.push(`${later.object.key} is a second manifest`)
    return { ...found, suspicions }
  }
  return { state: 'damaged', problem: 'no manifest of it can be trusted', suspicions }
}

/** Null for one that holds other bytes than its name says. */
async function readOne<Manifest>(
  archive: Archive,
  object: StoredObject,
  mark: string,
  read: (key: string, content: Buffer) => Manifest,
): Promise<Omit<Commit<Manifest>, 'suspicions'> | Omit<Broken, 'suspicions'> | null> {
  const { key: manifestKey, storedAt } = object
  const { content, sha256 } = await readMarked(archive, object, mark)
  if (sha12(sha256) !== mark) return null
  try {
    const manifest = read(manifestKey, content)
    return { state: 'committed', manifest, manifestKey, manifestSha256: sha256.toString('hex'), storedAt }
  } catch (thrown) {
    if (!(thrown instanceof PostboxError)) throw thrown
    return { state: 'damaged', problem: thrown.message }
  }
}

/** A manifest and its SHA-256: read once more where that is not the one that its name says. */
async function readMarked(archive: Archive, object: StoredObject, mark: string) {
  const read = async () => {
    const content = await archive.read(object)
    return { content, sha256: hash('sha256', content, 'buffer') }
  }
  const found = await read()
  // Bytes may have changed on the way, where there is no TLS.
  return sha12(found.sha256) === mark ? found : read()
}

let turn: Promise<unknown> = Promise.resolve()

/** What is large is read one at a time: whoever holds a grant can post many, and each takes many times its size. */
function inTurn<T>(isLarge: boolean, work: () => Promise<T>): Promise<T> {
  if (!isLarge) return work()
  const mine = turn.then(work)
  turn = mine.catch(() => undefined)
  return mine
}

async function incomplete(archive: Archive, prefix: string): Promise<Broken | null> {
  const first = await archive.list(prefix).next()
  if (first.done) return null
  return { state: 'incomplete', problem: 'it has no manifest: running, or never finished', suspicions: [] }
}
