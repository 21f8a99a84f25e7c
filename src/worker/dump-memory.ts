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
/** One that is filled, one of pg_dump's, one that is posted. */
const LARGEST_PART_BYTES = Math.floor(PARTS_BYTES / 3)

/** How the memory of a dump is divided. */
export interface DumpMemory {
  partBytes: number
  /** parts that grow or are posted at once */
  parts: number
  frameBytes: number
  frames: number
  /** that fill parts at once, and how many parts are posted at once: as many as were asked for, unless parts must be large */
  streams: number
  uploads: number
}

/**
 * Divides a fixed amount of memory among the streams of a dump: of each one part grows while others are posted, and one
 * frame is filled while others are compressed. The more streams, the smaller are parts and frames; where parts must not
 * get small there are fewer streams, down to two.
 */
export function dumpMemory(
  settings: Pick<Settings, 'part_bytes' | 'upload_connections'>,
  grant: Pick<Grant, 'max_part_bytes'>,
  wantedStreams: number,
  threads: number,
  leastPartBytes = 0,
): DumpMemory {
  const { partBytes: wanted } = partSizes(settings, grant)
  const share = Math.floor(PARTS_BYTES / (wantedStreams + settings.upload_connections))
  const least = Math.max(LEAST_PART_BYTES, Math.min(leastPartBytes, LARGEST_PART_BYTES))
  const partBytes = Math.min(wanted, Math.max(share, least))
  // The least part is for any number of streams.
  const room = share < least && least > LEAST_PART_BYTES ? Math.floor(PARTS_BYTES / partBytes) : Infinity
  const uploads = Math.min(settings.upload_connections, Math.max(1, Math.floor(room / 2)))
  const streams = Math.min(wantedStreams, room - uploads)
  const parts = streams + uploads
  const frames = streams + threads + 1
  const frameBytes = Math.max(Math.floor(FRAMES_BYTES / frames) - FRAME_SLACK_BYTES, LEAST_FRAME_BYTES)
  return {
    ...{ partBytes, parts, frames, streams, uploads },
    frameBytes: Math.min(frameBytes, FRAME_BYTES, frameBytesFor(partBytes)!),
  }
}
