import type { Grant } from '../box/grant.js'
import type { Settings } from '../catalog/settings.js'
import { FRAME_BYTES, FRAME_SLACK_BYTES, frameBytesFor } from '../transform/frame-pool.js'
import { partSizes } from './base-backup-job.js'

/** What all parts of a dump take together, and all frames. */
const PARTS_BYTES = 40 * 1024 * 1024
const FRAMES_BYTES = 10 * 1024 * 1024
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
 * Divides a fixed amount of memory among the streams of a dump: of each one part grows while others are posted, and one
 * frame is filled while others are compressed. The more streams, the smaller are parts and frames.
 */
export function dumpMemory(
  settings: Pick<Settings, 'part_bytes' | 'upload_connections'>,
  grant: Pick<Grant, 'max_part_bytes'>,
  streams: number,
  threads: number,
): DumpMemory {
  const { partBytes: wanted } = partSizes(settings, grant)
  const parts = streams + settings.upload_connections
  const partBytes = Math.min(wanted, Math.max(Math.floor(PARTS_BYTES / parts), LEAST_PART_BYTES))
  const frames = streams + threads + 1
  const frameBytes = Math.max(Math.floor(FRAMES_BYTES / frames) - FRAME_SLACK_BYTES, LEAST_FRAME_BYTES)
  return { partBytes, parts, frameBytes: Math.min(frameBytes, FRAME_BYTES, frameBytesFor(partBytes)!), frames }
}
