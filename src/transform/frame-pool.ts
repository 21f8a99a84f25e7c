/** About how much input one frame holds. */
export const FRAME_BYTES = 4 * 1024 * 1024
/** Room behind a frame for the rest of one socket read, so that a read is never split over two frames. */
export const FRAME_SLACK_BYTES = 256 * 1024

/** A frame must not get smaller than this: each costs a message, a compression and a header. */
const LEAST_FRAME_BYTES = 64 * 1024

/**
 * How much input a frame may hold so that it fits into a part however little it compresses; null when parts are too
 * small for any. The last read of the socket comes on top (zstd's own bound: ZSTD_compressBound in zstd.h).
 */
export function frameBytesFor(partBytes: number): number | null {
  const rawBytes = Math.floor(((partBytes - 128) * 256) / 257) - FRAME_SLACK_BYTES
  return rawBytes < LEAST_FRAME_BYTES ? null : Math.min(rawBytes, FRAME_BYTES)
}

/**
 * A bounded set of frame buffers: the memory that a source may fill ahead of the compressors.
 *
 * When all are out, `take` still hands one out (a source cannot stop in the middle of a read) and `exhausted` says that
 * the source must pause until `onFree` is called.
 */
export class FramePool {
  readonly #free: Buffer[] = []
  /** how many are out */
  out = 0
  onFree: () => void = () => undefined

  /**
   * @param limit buffers that may be out before the source has to pause
   * @param make a buffer of so many bytes
   */
  constructor(
    readonly limit: number,
    readonly bytes = FRAME_BYTES + FRAME_SLACK_BYTES,
    readonly make: (bytes: number) => Buffer = (size) => Buffer.allocUnsafeSlow(size),
  ) {}

  get exhausted(): boolean {
    return this.out >= this.limit
  }

  get overdrawn(): boolean {
    return this.out > this.limit
  }

  take(): Buffer {
    this.out++
    return this.#free.pop() ?? this.make(this.bytes)
  }

  release(buffer: Buffer): void {
    this.out--
    if (this.#free.length < this.limit) this.#free.push(buffer)
    this.onFree()
  }
}

/**
 * Memory that other threads see too, for a FramePool. It weighs nothing with the garbage collector, which would else
 * look through the whole heap each few times that some of it comes and goes.
 */
export function sharedMemory(bytes: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(bytes))
}
