import type { Part } from './box.js'
import type { PostForm } from './post-form.js'
import type { Throttle } from './throttle.js'

/** A body up to this size goes out as one buffer with its headers, in one packet train: WAL tails are small and urgent. */
const WHOLE_BYTES = 1024 * 1024
/** The same for what is not urgent: dozens of streams of a dump have small parts, and each copy waits for V8 to see it. */
const WHOLE_PATIENT_BYTES = 64 * 1024
/** Larger bodies go in pieces: each one sent is the progress that tells a slow line from a dead peer. */
const PIECE_BYTES = 256 * 1024

/** Form and part as one request body: a Buffer when small, else an iterable that copies nothing. */
export function formBody(
  form: PostForm,
  part: Part,
  throttle: Throttle | null,
  signal: AbortSignal,
): Buffer | AsyncIterable<Buffer> {
  const isWhole = form.bytes <= (part.urgent ? WHOLE_BYTES : WHOLE_PATIENT_BYTES)
  if (isWhole) return Buffer.concat([form.prefix, ...part.chunks, form.suffix], form.bytes)
  return pieces([form.prefix, ...part.chunks, form.suffix], throttle, part.urgent ?? false, signal)
}

/** Waits its turn for a small body, which is sent in one go. */
export async function takeWhole(
  body: Buffer,
  throttle: Throttle | null,
  part: Part,
  signal: AbortSignal,
): Promise<void> {
  await throttle?.take(body.length, { signal, urgent: part.urgent ?? false })
}

async function* pieces(
  chunks: readonly Buffer[],
  throttle: Throttle | null,
  urgent: boolean,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      const bytes = Math.min(pieceBytes(throttle), chunk.length - at)
      await throttle?.take(bytes, { signal, urgent })
      yield chunk.subarray(at, at + bytes)
      at += bytes
    }
  }
}

/** About a tenth of a second's worth, so that a slow rate is an even one; asked each time, as the rate may change. */
function pieceBytes(throttle: Throttle | null): number {
  const rate = throttle?.bytesPerSecond ?? 0
  return rate === 0 ? PIECE_BYTES : Math.min(Math.max(Math.floor(rate / 10), 4096), PIECE_BYTES)
}
