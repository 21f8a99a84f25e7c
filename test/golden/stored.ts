import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Bucket } from '../sandbox/s3/store.js'

/** A golden archive beside its files: what is in it, and what must come out of it. */
export interface Golden {
  made_with: string
  postgres: 17
  server: string
  backup_id: string
  /** oid of the tablespace that lay outside the data directory */
  tablespace: string
  dumps: { whole: string; masked: string }
  /** a moment between two commits on timeline 1 */
  moment: string
  /** rows of table `kept`, as text in order of n: at that moment, at the end of each timeline, and in each dump */
  rows: Record<'moment' | 'timeline_1' | 'timeline_2' | 'dump' | 'masked', string[]>
  /** in the order in which they were stored */
  objects: { key: string; sha256: string; stored_at: string }[]
}

const directoryOf = (name: string): string => join(import.meta.dirname, name)
const fileOf = (name: string, key: string): string => join(directoryOf(name), 'bucket', key)

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** Writes every object of a bucket to a file, and what is said of them beside. */
export async function save(name: string, bucket: Bucket, said: Omit<Golden, 'objects'>): Promise<void> {
  // Fails where there is one: it is never made again.
  await mkdir(directoryOf(name))
  const objects: Golden['objects'] = []
  const all = bucket.keys().map((key) => ({ key, versions: bucket.versions(key) }))
  for (const { key, versions } of all) {
    // What was posted again, as the restore note is, is the same: the first counts.
    const { bytes, storedAt } = versions.at(-1)!
    await mkdir(dirname(fileOf(name, key)), { recursive: true })
    await writeFile(fileOf(name, key), bytes!)
    objects.push({ key, sha256: sha256(bytes!), stored_at: storedAt.toISOString() })
  }
  objects.sort((a, b) => (a.stored_at < b.stored_at ? -1 : a.stored_at > b.stored_at ? 1 : 0))
  await writeFile(join(directoryOf(name), 'golden.json'), `${JSON.stringify({ ...said, objects }, null, 1)}\n`)
}

/** What is said of a golden archive, as it stands in its file. */
export async function golden(name: string): Promise<{ bytes: Buffer; said: Golden }> {
  const bytes = await readFile(join(directoryOf(name), 'golden.json'))
  return { bytes, said: JSON.parse(bytes.toString()) as Golden }
}

/** Puts every file under its key, as old as it was. */
export async function load(name: string, bucket: Bucket): Promise<void> {
  const { said } = await golden(name)
  for (const { key, stored_at } of said.objects) {
    bucket.put(key, await readFile(fileOf(name, key)), { storedAt: new Date(stored_at) })
  }
}
