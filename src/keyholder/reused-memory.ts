/** So that objects of nearly the same size fit into the same memory. */
const ROUND_BYTES = 1024 * 1024

/**
 * Memory that other threads see too, used again and again. V8 does not count it: megabytes of its own for each object
 * would have it collect garbage all the time.
 */
export class ReusedMemory {
  readonly #free: SharedArrayBuffer[] = []

  /** At least so many bytes. What is free and smaller is forgotten. */
  take(bytes: number): SharedArrayBuffer {
    const free = this.#free.pop()
    if (free && free.byteLength >= bytes) return free
    return new SharedArrayBuffer(Math.ceil(bytes / ROUND_BYTES) * ROUND_BYTES)
  }

  give(memory: SharedArrayBuffer): void {
    this.#free.push(memory)
  }
}
