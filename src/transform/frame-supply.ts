import { FRAME_SLACK_BYTES, sharedMemory } from './frame-pool.js'

/**
 * Frame buffers that several sources share. None gets one more than there are, so that memory is the same for any
 * number of sources; who compresses a frame releases it, and no source needs a second one to fill the first.
 */
export class FrameSupply {
  readonly #free: Buffer[] = []
  readonly #waiting: ((buffer: Buffer) => void)[] = []
  #made = 0

  /**
   * @param limit how many there are at most
   * @param enough bytes after which a source hands one on; it has room for one read of a socket more
   */
  constructor(
    readonly limit: number,
    readonly enough: number,
  ) {}

  /** Who waits longest is served first. */
  async take(): Promise<Buffer> {
    const free = this.#free.pop()
    if (free) return free
    if (this.#made < this.limit) {
      this.#made++
      return sharedMemory(this.enough + FRAME_SLACK_BYTES)
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  release(buffer: Buffer): void {
    const next = this.#waiting.shift()
    if (next) next(buffer)
    else this.#free.push(buffer)
  }
}
