import type { Box } from '../box/box.js'
import { segmentKey, type Home } from '../box/key-names.js'
import { createPart, type PartHashes } from '../box/part.js'
import { lastCommitTime } from '../wal/commit-times.js'
import { checkSegment } from '../wal/page.js'
import type { Lsn } from '../wal/lsn.js'
import type { Segment } from '../wal/segment.js'
import { giveBack } from '../transform/give-back.js'
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
  compress: (raw: Buffer) => Promise<{ chunks: Buffer[] } & Partial<PartHashes>>
  /** knows the segment before it, and this one as soon as the call has returned its promise */
  chain: SegmentChain
}

export interface RawSegment {
  segment: Segment
  bytes: Buffer
  /** of the bytes */
  sha256: Buffer
}

/**
 * Checks, compresses and posts one segment. Its bytes must not change until `onCompressed` is called; the post works on
 * what was made of them.
 */
export async function storeSegment(
  { home, segmentBytes, box, compress, chain }: SegmentStoreOptions,
  { segment, bytes: raw, sha256 }: RawSegment,
  signal: AbortSignal,
  onCompressed: () => void = () => undefined,
): Promise<StoredSegment> {
  checkSegment(raw, segment, segmentBytes, home.systemIdentifier)
  const compressing = compress(raw)
  const end = segment.start + BigInt(segmentBytes)
  const key = segmentKey(home, segment, segmentBytes, sha256, chain.previous(segment.start))
  chain.add(end, sha256)
  const lastCommitAt = lastCommitTime(raw)
  const { chunks, sha256: storedSha256, md5 } = await compressing
  onCompressed()
  const hashes = storedSha256 && md5 ? { sha256: storedSha256, md5 } : undefined
  const part = createPart(key, chunks, 'application/zstd', hashes)
  await box.post({ ...part, urgent: true }, signal)
  // The box has said that it has every byte.
  for (const chunk of chunks) giveBack(chunk)
  return { segment, end, segmentBytes, key, bytes: part.bytes, sha256, lastCommitAt }
}
