import { createHash } from 'node:crypto'
import type { Box } from '../box/box.js'
import { segmentKey, type Home } from '../box/key-names.js'
import { createPart } from '../box/part.js'
import { compressFrames } from '../transform/compress.js'
import { FRAME_BYTES } from '../transform/frame-pool.js'
import { lastCommitTime } from '../wal/commit-times.js'
import { checkSegment } from '../wal/page.js'
import type { Lsn } from '../wal/lsn.js'
import type { Segment } from '../wal/segment.js'
import type { SegmentChain } from './segment-chain.js'

/** A segment that lies in the box, as its row says it. */
export interface StoredSegment {
  segment: Segment
  /** LSN after its last byte */
  end: Lsn
  segmentBytes: number
  key: string
  /** stored bytes */
  bytes: number
  /** of the raw bytes */
  sha256: Buffer
  lastCommitAt: Date | null
}

export interface SegmentStoreOptions {
  home: Home
  segmentBytes: number
  box: Box
  compressionLevel: number
  /** knows the segment before it, and this one as soon as the call has returned its promise */
  chain: SegmentChain
}

/** Checks, compresses and posts one segment. `raw` must not change until it resolves. */
export async function storeSegment(
  { home, segmentBytes, box, compressionLevel, chain }: SegmentStoreOptions,
  segment: Segment,
  raw: Buffer,
  signal: AbortSignal,
): Promise<StoredSegment> {
  checkSegment(raw, segment, segmentBytes, home.systemIdentifier)
  const compressing = compressFrames(raw, compressionLevel, FRAME_BYTES)
  const sha256 = createHash('sha256').update(raw).digest()
  const end = segment.start + BigInt(segmentBytes)
  const key = segmentKey(home, segment, segmentBytes, sha256, chain.previous(segment.start))
  chain.add(end, sha256)
  const lastCommitAt = lastCommitTime(raw)
  const chunks = await compressing
  const part = createPart(key, chunks, 'application/zstd')
  await box.post({ ...part, urgent: true }, signal)
  return { segment, end, segmentBytes, key, bytes: part.bytes, sha256, lastCommitAt }
}
