import { PostboxError } from '../errors.js'
import { parseLsn, type Lsn } from '../wal/lsn.js'
import { EventQueue } from './event-queue.js'
import type { Copy, ReplicationConnection } from './replication-connection.js'
import { textOf, type Row } from './server-message.js'

/** Buffers that the source fills; the reader releases them. See transform/frame-pool.ts. */
export interface FrameBuffers {
  /** all that may be out are out */
  readonly exhausted: boolean
  /** more than that are out: the last read went on behind the end of one */
  readonly overdrawn: boolean
  take(): Buffer
  onFree: () => void
}

export interface BaseBackupOptions {
  label: string
  checkpoint: 'fast' | 'spread'
  /** bytes after which a frame is handed on; buffers must hold one socket read more */
  frameBytes: number
}

/**
 * What comes out of a base backup, in order: start, then per archive its frames and an archive_end, then the same for
 * Postgres's own manifest (kind `manifest`), then end.
 */
export type BaseBackupEvent =
  | { kind: 'start'; startLsn: Lsn; timeline: number; estimatedBytes: number }
  | { kind: 'archive'; tablespace: string; location: string | null }
  | { kind: 'manifest' }
  | { kind: 'frame'; buffer: Buffer; bytes: number }
  | { kind: 'archive_end' }
  | { kind: 'end'; stopLsn: Lsn; timeline: number }

// First byte of a CopyData message of BASE_BACKUP, since Postgres 15.
const NEW_ARCHIVE = 0x6e
const MANIFEST = 0x6d
const DATA = 0x64

/**
 * Runs BASE_BACKUP and yields its bytes in frames, as tar, just as the server sends them.
 *
 * The socket pauses while all buffers are out, so memory stays bounded however slow the reader is. Ending the loop early
 * closes the connection and with it the backup on the server. Throws replication errors (replication-error.ts).
 *
 * https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 */
export async function* readBaseBackup(
  connection: ReplicationConnection,
  options: BaseBackupOptions,
  buffers: FrameBuffers,
): AsyncGenerator<BaseBackupEvent> {
  const events = new EventQueue<BaseBackupEvent>()
  const receiver = new BaseBackupReceiver(connection, options.frameBytes, buffers, events)
  buffers.onFree = () => {
    if (!buffers.exhausted) connection.resume()
  }
  connection.run(baseBackupCommand(options), receiver).then(
    (rows) => {
      receiver.finish(rows)
    },
    (error: unknown) => {
      events.fail(error)
    },
  )
  let complete = false
  try {
    for await (const event of events) {
      yield event
      complete = event.kind === 'end'
    }
  } finally {
    buffers.onFree = () => undefined
    if (!complete) connection.close()
  }
}

/** WAIT false: the worker knows by itself when the WAL is stored. The manifest's checksums are Postgres's default. */
function baseBackupCommand({ label, checkpoint }: BaseBackupOptions): string {
  const quoted = `'${label.replaceAll("'", "''")}'`
  return (
    `BASE_BACKUP (LABEL ${quoted}, CHECKPOINT '${checkpoint}', PROGRESS true, WAIT false, ` +
    `TABLESPACE_MAP true, MANIFEST 'yes')`
  )
}

/** Sorts the copy's messages into events and its data into frames. */
class BaseBackupReceiver implements Copy {
  #frame: Buffer | null = null
  #filled = 0
  #inArchive = false
  #rowsBefore = 0

  constructor(
    readonly connection: ReplicationConnection,
    readonly frameBytes: number,
    readonly buffers: FrameBuffers,
    readonly events: EventQueue<BaseBackupEvent>,
  ) {}

  begin(rows: readonly Row[]): void {
    const [start, ...tablespaces] = rows
    this.#rowsBefore = rows.length
    // Sizes are in kB and include base, whose oid is null.
    const kilobytes = tablespaces.reduce((sum, row) => sum + Number(textOf(row, 'size') ?? 0), 0)
    this.events.push({
      kind: 'start',
      startLsn: parseLsn(textOf(start!, 'recptr')!),
      timeline: Number(textOf(start!, 'tli')),
      estimatedBytes: kilobytes * 1024,
    })
  }

  headerBytes(kind: number, payloadBytes: number): number {
    return kind === DATA ? 1 : payloadBytes
  }

  header(header: Buffer): void {
    if (header[0] === NEW_ARCHIVE) {
      this.#endArchive()
      this.#inArchive = true
      this.events.push({ kind: 'archive', ...readNewArchive(header) })
    } else if (header[0] === MANIFEST) {
      this.#endArchive()
      this.#inArchive = true
      this.events.push({ kind: 'manifest' })
    }
  }

  body(read: Buffer, from: number, to: number): void {
    const bytes = to - from
    if (!this.#frame || this.#filled + bytes > this.#frame.length) this.#nextFrame(bytes)
    this.#filled += read.copy(this.#frame!, this.#filled, from, to)
  }

  readEnd(): void {
    if (this.#filled >= this.frameBytes) this.#flush()
    if (this.buffers.exhausted && !this.#frame) this.connection.pause()
  }

  finish(rows: readonly Row[]): void {
    this.#endArchive()
    const end = rows[this.#rowsBefore]
    const stopLsn = end && textOf(end, 'recptr')
    if (stopLsn) {
      this.events.push({ kind: 'end', stopLsn: parseLsn(stopLsn), timeline: Number(textOf(end, 'tli')) })
      this.events.end()
    } else {
      const hint = 'See the log of the server.'
      this.events.fail(new PostboxError('replication_failed', 'BASE_BACKUP ended without a stop position', hint))
    }
  }

  #nextFrame(pieceBytes: number): void {
    this.#flush()
    this.#frame = this.buffers.take()
    if (pieceBytes > this.#frame.length) {
      throw new PostboxError('internal', `a read of ${pieceBytes} bytes is larger than a frame`, 'Report it, please.')
    }
  }

  #flush(): void {
    if (this.#frame && this.#filled > 0) {
      this.events.push({ kind: 'frame', buffer: this.#frame, bytes: this.#filled })
      this.#frame = null
      this.#filled = 0
    }
  }

  #endArchive(): void {
    this.#flush()
    if (this.#inArchive) this.events.push({ kind: 'archive_end' })
    this.#inArchive = false
  }
}

/** Archive name (`base.tar` or `<oid>.tar`) and location, both zero-terminated; the location of base is empty. */
function readNewArchive(message: Buffer): { tablespace: string; location: string | null } {
  const nameEnd = message.indexOf(0, 1)
  const locationEnd = message.indexOf(0, nameEnd + 1)
  const location = message.toString('utf8', nameEnd + 1, locationEnd)
  return {
    tablespace: message.toString('utf8', 1, nameEnd).replace(/\.tar$/, ''),
    location: location === '' ? null : location,
  }
}
