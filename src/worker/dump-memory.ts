import type { Grant } from '../box/grant.js'
import type { Settings } from '../catalog/settings.js'
import { FRAME_BYTES, FRAME_SLACK_BYTES, frameBytesFor } from '../transform/frame-pool.js'
import { partSizes } from './base-backup-job.js'

/** What all frames of a dump take together. */
const FRAMES_BYTES = 24 * 1024 * 1024
/** A smaller frame or part would cost more than the memory is worth. */
const LEAST_FRAME_BYTES = 64 * 1024
const LEAST_PART_BYTES = 512 * 1024

/** How the memory of a dump is divided. */
export interface DumpMemory {
  partBytes: number
  /** parts that grow or are posted at once */
  parts: number
  frameBytes: number
  frames: number
}

/**
 * Divides among the streams of a dump what a base backup would take for its parts: of each stream one part grows while
 * others are posted. The more streams, the smaller are parts and frames.
 */
export function dumpMemory(
  settings: Pick<Settings, 'part_bytes' | 'upload_connections'>,
  grant: Pick<Grant, 'max_part_bytes'>,
  streams: number,
  threads: number,
): DumpMemory {
  const { partBytes: wanted } = partSizes(settings, grant)
  const { upload_connections: posted } = settings
  const parts = streams + posted
  const share = Math.floor((wanted * (posted + 1)) / parts)
  const partBytes = Math.min(wanted, Math.max(share, LEAST_PART_BYTES))
  const frames = streams + threads + 1
  const frameBytes = Math.max(Math.floor(FRAMES_BYTES / frames) - FRAME_SLACK_BYTES, LEAST_FRAME_BYTES)
  return { partBytes, parts, frameBytes: Math.min(frameBytes, FRAME_BYTES, frameBytesFor(partBytes)!), frames }
}
