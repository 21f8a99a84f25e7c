import type { Readable } from 'node:stream'

export interface FilledFrame {
  buffer: Buffer
  /** how much of it is filled */
  bytes: number
}

/** Buffers that sources fill; see transform/frame-supply.ts. */
export interface Frames {
  /** bytes after which one is handed on; it has room for one read of a socket more */
  readonly enough: number
  /** Waits while all are out. */
  take(): Promise<Buffer>
  release(buffer: Buffer): void
}

/** Bytes of a stream in frames, which the reader releases. */
export async function* cutFrames(stream: Readable, frames: Frames): AsyncGenerator<FilledFrame> {
  let buffer: Buffer | null = null
  let bytes = 0
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length;) {
      buffer ??= await frames.take()
      const copied = chunk.copy(buffer, bytes, at, at + frames.enough - bytes)
      at += copied
      bytes += copied
      if (bytes < frames.enough) continue
      yield { buffer, bytes }
      buffer = null
      bytes = 0
    }
  }
  if (buffer) yield { buffer, bytes }
}
