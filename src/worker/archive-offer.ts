import { PostboxError } from '../errors.js'

/** A file whose bytes archive-wal sends, if the worker wants them. */
export interface SentFile {
  file: string
  bytes: number
  /** in hex */
  sha256: string
  /** its first bytes, in base64 */
  head: string
}

/** A file that the worker can read by itself, if it sees the same one at that path. */
export interface NamedFile {
  /** from the root */
  path: string
  /** decimal, as stat(2) has them where archive-wal runs */
  device: string
  inode: string
}

/** What archive-wal says first. */
export type Offer = SentFile | NamedFile

type Unchecked<T> = Partial<Record<keyof T, unknown>>

/** Throws `bad_argument` for what is no offer. */
export function readOffer(line: unknown): Offer {
  const unchecked = (line ?? {}) as Unchecked<SentFile> & Unchecked<NamedFile>
  const offer = unchecked.path === undefined ? sentFile(unchecked) : namedFile(unchecked)
  if (offer) return offer
  throw new PostboxError('bad_argument', 'that is no offer of a file', 'archive-wal and worker are of other versions.')
}

function sentFile({ file, bytes, sha256, head }: Unchecked<SentFile>): SentFile | null {
  const whole =
    typeof file === 'string' &&
    typeof bytes === 'number' &&
    Number.isSafeInteger(bytes) &&
    bytes >= 0 &&
    typeof sha256 === 'string' &&
    /^[0-9a-f]{64}$/.test(sha256) &&
    typeof head === 'string'
  return whole ? { file, bytes, sha256, head } : null
}

function namedFile({ path, device, inode }: Unchecked<NamedFile>): NamedFile | null {
  const whole =
    typeof path === 'string' && path.startsWith('/') && typeof device === 'string' && typeof inode === 'string'
  return whole ? { path, device, inode } : null
}
