/** About how much input one frame holds. */
export const FRAME_BYTES = 4 * 1024 * 1024
/** Room behind a frame for the rest of one socket read, so that a read is never split over two frames. */
export const FRAME_SLACK_BYTES = 256 * 1024

/**
 * A bounded set of frame buffers: the memory that a source may fill ahead of the compressors.
 *
 * When all are out, `take` still hands one out (a source cannot stop in the middle of a read) and `exhausted` says that
 * the source must pause until `onFree` is called.
 */
export class FramePool {
  readonly #free: Buffer[] = []
  #out = 0
  onFree: () => void = () => undefined

  /** @param limit buffers that may be out before the source has to pause */
  constructor(
    readonly limit: number,
    readonly bytes = FRAME_BYTES + FRAME_SLACK_BYTES,
  ) {}

  get exhausted(): boolean {
    return this.#out >= this.limit
  }

  take(): Buffer {
    this.#out++
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.bytes)
  }

  release(buffer: Buffer): void {
    this.#out--
    if (this.#free.length < this.limit) this.#free.push(buffer)
    this.onFree()
  }
}
