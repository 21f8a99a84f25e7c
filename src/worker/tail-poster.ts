import type { Box } from '../box/box.js'
import { tailKey, type Home, type Previous } from '../box/key-names.js'
import { createPart } from '../box/part.js'
import type { UnfinishedSegment } from '../source/wal-stream.js'
import { compressFrames } from '../transform/compress.js'
import { FRAME_BYTES } from '../transform/frame-pool.js'
import type { Lsn } from '../wal/lsn.js'
import { TailPace } from './tail-pace.js'
import { Wakeup } from './wakeup.js'

export interface TailPosterOptions {
  home: Home
  segmentBytes: number
  box: Box
  compressionLevel: () => number
  /** least time between two tails; 0 when a COMMIT waits for each */
  intervalMs: () => number
  /** woken when that may have changed */
  paceChanged: Wakeup
  /** the segment under way, once it is known what it follows */
  unfinished: () => UnfinishedSegment | null
  /** what the segment that begins at `start` follows */
  previous: (start: Lsn) => Previous
  /** looks at a segment's bytes so far, of which the end is posted next; only valid during the call */
  inspect: (bytes: Buffer) => void
  /** the segment that begins at `segment` is stored up to `to` */
  onStored: (segment: Lsn, to: Lsn) => Promise<void>
}

/** No bytes come for as long as the server is idle. No timer takes more. */
const FOREVER_MS = 2 ** 31 - 1

/**
 * Posts the unfinished segment piece by piece: first from its beginning, then what is new.
 *
 * The first tail of a session always begins with the segment, so that no chain depends on what another worker stored.
 */
export class TailPoster {
  readonly #received = new Wakeup()
  readonly #pace = new TailPace()
  /** where the last tail ended */
  #postedTo: Lsn = 0n

  constructor(readonly options: TailPosterOptions) {}

  /** Bytes have come. */
  wake(): void {
    this.#received.wake()
  }

  /** Runs until `signal` is aborted. Rejects as the box does. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.#next()) {
        await this.#received.wait(FOREVER_MS, signal)
        continue
      }
      await this.#rest(signal)
      if (!signal.aborted) await this.#post(signal)
    }
  }

  /** Until a tail may be posted. That may be in minutes, and at once when a COMMIT begins to wait for it. */
  async #rest(signal: AbortSignal): Promise<void> {
    const { intervalMs, paceChanged } = this.options
    const since = performance.now()
    while (!signal.aborted) {
      const left = since + this.#pace.delayMs(since, intervalMs()) - performance.now()
      if (left <= 0) return
      await paceChanged.wait(Math.min(left, FOREVER_MS), signal)
    }
  }

  /** What is not posted yet of the segment under way, or null. */
  #next(): (UnfinishedSegment & { from: Lsn; to: Lsn; raw: Buffer }) | null {
    const unfinished = this.options.unfinished()
    if (!unfinished) return null
    const { segment, bytes } = unfinished
    const to = segment.start + BigInt(bytes.length)
    const from = this.#postedTo > segment.start ? this.#postedTo : segment.start
    return to > from ? { ...unfinished, from, to, raw: bytes.subarray(Number(from - segment.start)) } : null
  }

  async #post(signal: AbortSignal): Promise<void> {
    const next = this.#next()
    // The segment may have become whole meanwhile.
    if (!next) return
    const { home, segmentBytes, box, compressionLevel, inspect, previous, onStored } = this.options
    const { segment, from, to, sha256 } = next
    inspect(next.bytes)
    // The buffer is reused as soon as the segment is whole.
    const raw = Buffer.from(next.raw)
    const key = tailKey(home, segment, segmentBytes, { from, to }, sha256, previous(segment.start))
    const chunks = await compressFrames(raw, compressionLevel(), FRAME_BYTES)
    await box.post({ ...createPart(key, chunks, 'application/zstd'), urgent: true }, signal)
    this.#postedTo = to
    this.#pace.posted(performance.now(), raw.length)
    await onStored(segment.start, to)
  }
}
