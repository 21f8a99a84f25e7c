import { randomBytes } from 'node:crypto'
import { open, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32c } from '../../src/wal/crc32c.js'

// Offset of xlp_sysid in the long header that begins every WAL segment (access/xlog_internal.h).
const SEGMENT_IDENTIFIER = 24

/**
 * Gives a cleanly stopped data directory a system identifier of its own.
 *
 * The sandbox copies its data directories from a template, and copies that shared an identifier would look like one
 * server to everything that keys backups by it.
 */
export async function renewSystemIdentifier(dataDir: string): Promise<void> {
  const identifier = randomBytes(8)
  // Positive as a signed 64-bit number too, as initdb's are.
  identifier[7] = (identifier[7]! & 0x3f) | 0x40
  const controlFile = join(dataDir, 'global/pg_control')
  const control = await readFile(controlFile)
  const crcAt = crcOffset(control)
  identifier.copy(control, 0)
  control.writeUInt32LE(crc32c(control.subarray(0, crcAt)), crcAt)
  await writeFile(controlFile, control, { flag: 'r+' })

  const wal = join(dataDir, 'pg_wal')
  for (const name of await readdir(wal)) {
    if (!/^[0-9A-F]{24}$/.test(name)) continue
    const segment = await open(join(wal, name), 'r+')
    await segment.write(identifier, 0, 8, SEGMENT_IDENTIFIER).finally(() => segment.close())
  }
}

// The CRC ends pg_control's data, whose length differs by version: it is where the CRC of all before it stands.
function crcOffset(control: Buffer): number {
  for (let at = 128; at <= 508; at += 4) {
    if (crc32c(control.subarray(0, at)) === control.readUInt32LE(at)) return at
  }
  throw new Error('pg_control has no valid CRC')
}
