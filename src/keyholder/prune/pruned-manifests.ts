import { z } from 'zod'
import { parseManifestName, type Home } from '../../box/key-names.js'
import type { Archive } from '../archive.js'
import { inOrder } from '../in-order.js'
import { plansPrefix } from './prune-plan.js'

const Closing = z.object({ postbox_prune_closed: z.literal(1), manifests: z.array(z.string()) })
const READ_AT_ONCE = 16

/** Marks of the manifests that prune deleted in one life of a server: what is missing and should be. */
export async function prunedManifests(archive: Archive, home: Home): Promise<Set<string>> {
  const marks = new Set<string>()
  const closings = async function* () {
    for await (const object of archive.list(plansPrefix(home))) if (object.key.endsWith('.closed.json')) yield object
  }
  for await (const content of inOrder(closings(), { atOnce: READ_AT_ONCE }, (object) => archive.read(object))) {
    for (const key of manifestsOf(content)) {
      const mark = parseManifestName(key.split('/').at(-1)!)
      if (mark !== null) marks.add(mark)
    }
  }
  return marks
}

/** What cannot be read explains nothing. */
function manifestsOf(content: Buffer): string[] {
  try {
    return Closing.parse(JSON.parse(content.toString('utf8'))).manifests
  } catch {
    return []
  }
}
