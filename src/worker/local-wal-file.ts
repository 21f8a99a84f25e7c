import { createHash } from 'node:crypto'
import { constants, open, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { PostboxError } from '../errors.js'
import { LONG_HEADER_BYTES } from '../wal/page.js'
import { walFileKind } from '../wal/wal-file.js'
import type { NamedFile } from './archive-offer.js'
import type { OfferedFile } from './wal-file-store.js'

/** Not so much that WAL that is streamed waits for its hash, nor so little that a busy thread pool makes it slow. */
const CHUNK_BYTES = 4 * 1024 * 1024

// A pipe of that name must not keep us waiting for its writer.
const PLAINLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * A WAL file that was named to us and lies on our own machine. Whoever opens it closes it.
 *
 * It is read once, into `room`: what was hashed is what is stored, whatever becomes of the file meanwhile.
 */
export class LocalWalFile implements OfferedFile {
  #content: Promise<{ sha256: Buffer; bytes: Buffer }> | null = null

  private constructor(
    readonly handle: FileHandle,
    readonly name: string,
    readonly bytes: number,
    readonly head: Buffer,
    readonly room: (bytes: number) => Buffer,
  ) {}

  /**
   * Null when the very file that was meant is not to be had here, so that its bytes must be sent. Throws `bad_argument`
   * for a name that no WAL file has.
   */
  static async open({ path, device, inode }: NamedFile, room: (bytes: number) => Buffer): Promise<LocalWalFile | null> {
    const name = basename(path)
    walFileKind(name)
    const handle = await open(path, PLAINLY).catch(() => null)
    if (handle === null) return null
    try {
      const stat = await handle.stat({ bigint: true })
      const same = stat.dev.toString() === device && stat.ino.toString() === inode
      if (same && stat.isFile()) {
        const { buffer, bytesRead } = await handle.read(Buffer.alloc(LONG_HEADER_BYTES), 0, LONG_HEADER_BYTES, 0)
        return new LocalWalFile(handle, name, Number(stat.size), buffer.subarray(0, bytesRead), room)
      }
    } catch {
      // archive-wal will have the same trouble, and says so.
    }
    await handle.close()
    return null
  }

  async sha256(): Promise<Buffer> {
    return (await this.#read()).sha256
  }

  async read(): Promise<Buffer> {
    return (await this.#read()).bytes
  }

  close(): Promise<void> {
    return this.handle.close()
  }

  #read(): Promise<{ sha256: Buffer; bytes: Buffer }> {
    this.#content ??= this.#readOnce()
    return this.#content
  }

  async #readOnce(): Promise<{ sha256: Buffer; bytes: Buffer }> {
    const bytes = this.room(this.bytes)
    const hash = createHash('sha256')
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await this.handle.read(bytes, at, Math.min(CHUNK_BYTES, bytes.length - at), at)
      if (bytesRead === 0) throw cutOff(this.name)
      hash.update(bytes.subarray(at, at + bytesRead))
      at += bytesRead
    }
    return { sha256: hash.digest(), bytes }
  }
}

function cutOff(name: string): PostboxError {
  return new PostboxError(
    'wal_invalid',
    `${name} was cut off while it was read`,
    'Postgres alone may change its files.',
  )
}
