import { createHash } from 'node:crypto'
import type { FramePool } from './frame-pool.js'

/** A run of whole frames, hashed while it grew. */
export interface BuiltPart {
  /** the pool's, to be released when the part is stored */
  memory: Buffer
  /** how much of it the part takes */
  bytes: number
  rawBytes: number
  sha256: Buffer
  md5: Buffer
}

/** Gathers compressed frames into parts that fill the pool's buffers as far as whole frames do. */
export class PartBuilder {
  #memory: Buffer | null = null
  #bytes = 0
  #rawBytes = 0
  #sha256 = createHash('sha256')
  #md5 = createHash('md5')

  /** @param pool of buffers that are at least as long as any frame */
  constructor(readonly pool: FramePool) {}

  /** Whether so many bytes more belong to the part that grows, so that `add` returns none. */
  fits(bytes: number): boolean {
    return this.#bytes + bytes <= this.pool.bytes
  }

  /** Adds a copy of one frame; returns the part that it no longer fitted into. */
  add(frame: Buffer, rawBytes: number): BuiltPart | null {
    const full = this.fits(frame.length) ? null : this.finish()
    this.#memory ??= this.pool.take()
    frame.copy(this.#memory, this.#bytes)
    this.#bytes += frame.length
    this.#rawBytes += rawBytes
    this.#sha256.update(frame)
    this.#md5.update(frame)
    return full
  }

  /** What was gathered since the last part, or null when that is nothing. */
  finish(): BuiltPart | null {
    if (!this.#memory) return null
    const part = {
      memory: this.#memory,
      bytes: this.#bytes,
      rawBytes: this.#rawBytes,
      sha256: this.#sha256.digest(),
      md5: this.#md5.digest(),
    }
    this.#memory = null
    this.#bytes = 0
    this.#rawBytes = 0
    this.#sha256 = createHash('sha256')
    this.#md5 = createHash('md5')
    return part
  }
}
