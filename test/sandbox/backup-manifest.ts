import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c } from '../../src/wal/crc32c.js'

interface FileEntry {
  Path?: string
  /** hexadecimal, where the path is not UTF-8 */
  'Encoded-Path'?: string
  Size: number
  'Checksum-Algorithm'?: string
  Checksum?: string
}

// What pg_verifybackup passes over: the restore or the server may have made or changed them.
const IGNORED = new Set(['backup_manifest', 'pg_wal', 'postgresql.auto.conf', 'recovery.signal', 'standby.signal'])

/**
 * Checks a restored data directory against Postgres's own `backup_manifest` in it, as pg_verifybackup does; to be called
 * before its server first starts. Gives the problems, none when all is well.
 *
 * https://www.postgresql.org/docs/current/backup-manifest-format.html
 */
export async function verifyBackupManifest(dataDir: string): Promise<string[]> {
  const text = await readFile(join(dataDir, 'backup_manifest'))
  const manifest = JSON.parse(text.toString()) as { Files: FileEntry[]; 'Manifest-Checksum': string }
  const problems: string[] = []

  // The last line holds the checksum of all before it.
  const lastLine = text.lastIndexOf('"Manifest-Checksum"')
  const own = createHash('sha256').update(text.subarray(0, lastLine)).digest('hex')
  if (own !== manifest['Manifest-Checksum']) problems.push('backup_manifest: its own checksum does not match')

  // Too large for a JavaScript number, so read from the text. Since Postgres 17.
  const identifier = /"System-Identifier": (\d+)/.exec(text.toString())?.[1]
  const control = await readFile(join(dataDir, 'global/pg_control')).catch(() => null)
  const found = control?.readBigUInt64LE(0).toString()
  if (identifier !== undefined && found !== undefined && identifier !== found) {
    problems.push(`global/pg_control: system identifier ${found}, but the manifest has ${identifier}`)
  }

  const present = await filesBelow(dataDir)
  for (const entry of manifest.Files) {
    const path = entry.Path ?? Buffer.from(entry['Encoded-Path']!, 'hex').toString('latin1')
    const missing = !present.delete(path)
    if (ignored(path)) continue
    if (missing) problems.push(`${path}: missing`)
    else problems.push(...(await verifyEntry(join(dataDir, path), path, entry)))
  }
  for (const path of present) if (!ignored(path)) problems.push(`${path}: not in the manifest`)
  return problems
}

function ignored(path: string): boolean {
  return IGNORED.has(path.split('/')[0]!)
}

async function verifyEntry(file: string, path: string, entry: FileEntry): Promise<string[]> {
  const { size } = await stat(file)
  if (size !== entry.Size) return [`${path}: ${size} bytes, but the manifest has ${entry.Size}`]
  if (entry.Checksum === undefined) return []
  const computed = await fileChecksum(file, entry['Checksum-Algorithm']!)
  return computed === entry.Checksum ? [] : [`${path}: ${entry['Checksum-Algorithm']} does not match`]
}

async function fileChecksum(file: string, algorithm: string): Promise<string> {
  if (algorithm !== 'CRC32C') {
    const hash = createHash(algorithm.toLowerCase())
    for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
    return hash.digest('hex')
  }
  let crc = 0
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) crc = crc32c(chunk as Buffer, crc)
  // Printed as the bytes lie in memory, so lowest byte first.
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(crc)
  return bytes.toString('hex')
}

// Through the links of pg_tblspc too: a manifest names files of tablespaces by the path through them.
async function filesBelow(directory: string, prefix = '', found = new Set<string>()): Promise<Set<string>> {
  for (const name of await readdir(join(directory, prefix))) {
    const path = prefix === '' ? name : `${prefix}/${name}`
    if ((await stat(join(directory, path))).isDirectory()) await filesBelow(directory, path, found)
    else found.add(path)
  }
  return found
}
