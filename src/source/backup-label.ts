import { PostboxError } from '../errors.js'

/** The two small files that a restored directory needs before anything else. */
export interface BackupFiles {
  backupLabel: string
  /** null when there are no tablespaces outside the data directory */
  tablespaceMap: string | null
}

const BLOCK_BYTES = 512

/**
 * Reads backup_label and tablespace_map, which Postgres sends as the first entries of base.tar.
 *
 * @param tar the beginning of base.tar, some 100 KiB at least unless the archive is shorter
 */
export function readBackupFiles(tar: Buffer): BackupFiles {
  const first = readEntry(tar, 0)
  if (first?.name !== 'backup_label') {
    throw new PostboxError(
      'replication_failed',
      `base.tar begins with ${first?.name ?? 'nothing'} instead of backup_label`,
      'This server may be newer than this Postbox knows.',
    )
  }
  const second = readEntry(tar, first.end)
  return {
    backupLabel: first.content,
    // Without tablespaces the file is there and empty.
    tablespaceMap: (second?.name === 'tablespace_map' && second.content) || null,
  }
}

/** https://www.gnu.org/software/tar/manual/html_node/Standard.html */
function readEntry(tar: Buffer, at: number): { name: string; content: string; end: number } | null {
  if (at + BLOCK_BYTES > tar.length) return null
  const nameEnd = tar.indexOf(0, at)
  const name = tar.toString('utf8', at, Math.min(nameEnd, at + 100))
  const bytes = Number.parseInt(tar.toString('latin1', at + 124, at + 135), 8)
  const start = at + BLOCK_BYTES
  if (name === '' || Number.isNaN(bytes) || start + bytes > tar.length) return null
  const end = start + Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
  return { name, content: tar.toString('utf8', start, start + bytes), end }
}
