import { PostboxError } from '../errors.js'
import type { Archive } from './archive.js'
import { fetchParts, type LocatedPart } from './fetch-parts.js'
import { giveBack } from '../transform/give-back.js'
import { inOrder } from './in-order.js'
import { decompressFrame, framesOf, LARGEST_FRAME_BYTES } from './zstd.js'
import type { Frame } from './zstd-frames.js'

/** A piece of what a part holds; null once all of it was given, and its size is what the manifest says. */
export interface Unpacked<Part> {
  part: Part
  raw: Buffer | null
}

export interface UnpackOptions {
  /** requests to the archive at once */
  fetches: number
  /** frames that are being decompressed or wait for their turn, and the bytes that they hold */
  frames?: number
  rawBytes?: number
}

const FRAMES_AT_ONCE = 8
const MAX_RAW_BYTES = 20 * 1024 * 1024

/** Fetch → verify → decompress: the contents of parts in order, in one line, so that no part waits for the next. */
export async function* unpackParts<Part extends LocatedPart>(
  archive: Archive,
  parts: Iterable<Part>,
  { fetches, frames = FRAMES_AT_ONCE, rawBytes = MAX_RAW_BYTES }: UnpackOptions,
): AsyncGenerator<Unpacked<Part>> {
  const room = { atOnce: frames, bytes: rawBytes, bytesOf: (one: PartFrame<Part>) => one.frame?.rawBytes ?? 0 }
  let given = 0
  for await (const unpacked of inOrder(framesOfParts(fetchParts(archive, parts, fetches)), room, decompressOne)) {
    given += unpacked.raw?.length ?? 0
    if (unpacked.raw === null || given > unpacked.part.entry.raw_bytes) {
      checkRawBytes(unpacked.part, given)
      given = 0
      giveBack(unpacked.stored)
    }
    yield unpacked
  }
}

/** A frame of a part, or null behind its last one. */
interface PartFrame<Part> {
  part: Part
  stored: Buffer
  frame: Frame | null
}

async function* framesOfParts<Part extends LocatedPart>(
  parts: AsyncIterable<{ part: Part; stored: Buffer }>,
): AsyncGenerator<PartFrame<Part>> {
  for await (const { part, stored } of parts) {
    for (const frame of framesOf(stored, part.entry.key, part.entry.raw_bytes)) yield { part, stored, frame }
    yield { part, stored, frame: null }
  }
}

async function decompressOne<Part extends LocatedPart>({ part, stored, frame }: PartFrame<Part>) {
  const { key, raw_bytes } = part.entry
  const raw = frame && (await decompressFrame(frame, key, Math.min(raw_bytes, LARGEST_FRAME_BYTES)))
  return { part, stored, raw }
}

function checkRawBytes({ entry }: LocatedPart, rawBytes: number): void {
  if (entry.raw_bytes === rawBytes) return
  const message = `${entry.key} unpacks to ${rawBytes} bytes, and the manifest says ${entry.raw_bytes}`
  throw new PostboxError('object_damaged', message, 'Restore another backup; see "postbox list".')
}
