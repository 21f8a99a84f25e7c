import { createHash } from 'node:crypto'
import { doctorKey } from '../../box/key-names.js'
import { DOCTOR_LINE } from '../../box/doctor-line.js'
import { restoreNote } from '../../box/restore-note.js'
import type { Archive, StoredObject } from '../archive.js'
import { damage, odd, type Problem } from './problem.js'
import { storedOver } from './verify-folders.js'

/** So many strangers are named; an intruder can store any number of them. */
const NAMED = 100

/**
 * Looks at what lies in a server's folder outside its lives. Whoever has a grant can store there what they like, and a person
 * in need reads the RESTORE note and runs its lines with S3 keys at hand: so each note is compared with the text that this
 * version of Postbox stores.
 */
export async function verifyServerFolder(archive: Archive, server: string): Promise<Problem[]> {
  const known = restoreNote(server)
  const problems: Problem[] = []
  let notes = 0
  let strangers = 0
  for await (const object of outsideOfLives(archive, server)) {
    const name = object.key.slice(server.length + 1)
    if (name.startsWith('upload/')) continue
    if (object.storedOver && strangers < NAMED) problems.push(storedOver(object, null))
    if (/^RESTORE-[0-9a-f]{12}\.md$/.test(name)) {
      notes += 1
      if (!(await holds(archive, object, known))) problems.push(odd(unknownNote(object)))
      continue
    }
    const isProbe = name === 'probe' && object.bytes === 0
    if (isProbe || object.key === doctorKey(server, sha256(DOCTOR_LINE))) continue
    strangers += 1
    if (strangers <= NAMED) problems.push(odd(`${object.key} has no name that Postbox gives; ${storedAt(object)}`))
  }
  if (strangers > NAMED) problems.push(odd(`${strangers - NAMED} more in ${server}/ have no name that Postbox gives`))
  if (notes === 0) {
    problems.push(
      odd(`${server}/ has no RESTORE note, which says how to restore by hand: the next base backup stores it`),
    )
  }
  return problems
}

/** By few requests, however much lies in the lives: the listing begins anew behind each. */
async function* outsideOfLives(archive: Archive, server: string): AsyncGenerator<StoredObject> {
  const prefix = `${server}/`
  const lives = new Set<string>()
  for (let after: string | undefined; ;) {
    let life: string | undefined
    for await (const object of archive.list(prefix, after)) {
      const folder = /^(\d+)\//.exec(object.key.slice(prefix.length))?.[1]
      if (folder === undefined) yield object
      else if (!lives.has(folder)) {
        life = folder
        break
      }
    }
    if (life === undefined) return
    lives.add(life)
    // Behind all names of a life that Postbox gives; what sorts behind it nevertheless is the life's and passed over.
    after = `${prefix}${life}/~`
  }
}

async function holds(archive: Archive, object: StoredObject, note: { key: string; content: Buffer }): Promise<boolean> {
  if (object.key !== note.key || object.bytes !== note.content.length) return false
  try {
    return (await archive.read(object)).equals(note.content)
  } catch (thrown) {
    damage(thrown)
    return false
  }
}

const unknownNote = (object: StoredObject): string =>
  `${object.key} is not the note that this version of Postbox stores; ${storedAt(object)}. Notes of other versions look so ` +
  'too, and so does a forged one: run no line of it before you have compared it with docs/restore-by-hand.md'

const storedAt = (object: StoredObject): string => `it was stored at ${object.storedAt.toISOString()}`

const sha256 = (content: Buffer): Buffer => createHash('sha256').update(content).digest()
