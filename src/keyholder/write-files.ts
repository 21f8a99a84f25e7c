import { constants } from 'node:fs'
import { chmod, chown, lchown, mkdir, open, symlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Who restored files belong to; null for whoever runs the restore. */
export type Owner = { uid: number; gid: number } | null

/** A file that is being written. */
export interface WritingFile {
  /** takes a piece, which must not change until the writer's finish() */
  write(content: Buffer): void
  /** no more pieces come */
  end(): void
}

/** Pieces that wait to be written, over all files together. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024
const MAX_OPEN_FILES = 32
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL

/** Only the owner writes; the group reads where it could before. More than that Postgres would refuse. */
const fileMode = (mode: number): number => 0o600 | (mode & 0o040)
const directoryMode = (mode: number): number => 0o700 | (mode & 0o050)

/**
 * Writes files side by side in bounded memory. Nothing is synced: one sync of the file system follows.
 *
 * The first error is thrown by the next room() or by finish(), whichever comes first.
 */
export class FileWriter {
  #waitingBytes = 0
  #openFiles = 0
  #failure: { error: unknown } | null = null
  #stirred = Promise.withResolvers<undefined>()
  readonly #made = new Set<string>()

  constructor(readonly owner: Owner) {}

  /** Makes a directory and, where they are missing, those above it. Twice is harmless. */
  async directory(path: string, mode: number): Promise<void> {
    if (this.#made.has(path)) return
    if (!this.#made.has(dirname(path))) await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await mkdir(path, { recursive: true })
    // mkdir's own mode passes through the umask.
    await chmod(path, directoryMode(mode))
    if (this.owner) await chown(path, this.owner.uid, this.owner.gid)
    this.#made.add(path)
  }

  async link(path: string, to: string): Promise<void> {
    await symlink(to, path)
    if (this.owner) await lchown(path, this.owner.uid, this.owner.gid)
  }

  /** Begins a file that is not there yet. */
  file(path: string, mode: number): WritingFile {
    this.#openFiles++
    const handle = this.#create(path, fileMode(mode))
    let last: Promise<unknown> = handle
    const then = (step: () => Promise<unknown>) => {
      last = last.then(step)
      last.catch((error: unknown) => this.#fail(error))
    }
    handle.catch((error: unknown) => this.#fail(error))
    return {
      write: (content) => {
        this.#waitingBytes += content.length
        then(async () => {
          if (!this.#failure) await writeAll(await handle, content)
          this.#waitingBytes -= content.length
          this.#stir()
        })
      },
      end: () => {
        const close = async () => {
          await (await handle.catch(() => null))?.close()
          this.#openFiles--
          this.#stir()
        }
        last = last.then(close, close)
        last.catch((error: unknown) => this.#fail(error))
      },
    }
  }

  /** Waits until more may be begun or written. */
  async room(): Promise<void> {
    while (!this.#failure && (this.#waitingBytes > MAX_WAITING_BYTES || this.#openFiles > MAX_OPEN_FILES)) {
      await this.#stirred.promise
    }
    if (this.#failure) throw this.#failure.error
  }

  /** Waits until every file that was ended is closed. */
  async finish(): Promise<void> {
    while (!this.#failure && this.#openFiles > 0) await this.#stirred.promise
    if (this.#failure) throw this.#failure.error
  }

  async #create(path: string, mode: number): Promise<FileHandle> {
    const handle = await open(path, NEW_FILE, mode)
    if (this.owner) await handle.chown(this.owner.uid, this.owner.gid)
    return handle
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#stir()
  }

  #stir(): void {
    this.#stirred.resolve(undefined)
    this.#stirred = Promise.withResolvers()
  }
}

async function writeAll(file: FileHandle, content: Buffer): Promise<void> {
  for (let written = 0; written < content.length;) {
    written += (await file.write(content, written)).bytesWritten
  }
}
