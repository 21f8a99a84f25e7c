/**
 * Gives a buffer's memory back to the system; the caller has the only view of it and does not look again.
 *
 * Memory outside of V8's heap weighs little with its garbage collector: tens of megabytes would gather in each thread, and
 * each of its rounds would go through the whole heap for a few buffers. Small buffers share memory and are left to it.
 */
export function giveBack({ buffer }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0)
}
