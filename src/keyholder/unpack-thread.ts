import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { sha12 } from '../box/key-names.js'
import { asPostboxError, PostboxError } from '../errors.js'
import { plain } from '../plain-error.js'
import { giveBack } from '../transform/give-back.js'
import { checkSegmentHeader, namedSegment, readSegmentHeader } from '../wal/page.js'
import { damagedWal } from './damage.js'
import type { Unpacked, UnpackTask } from './unpack-threads.js'
import { decompressBeginning, decompressFrameNow, framesOf } from './zstd.js'

/** A thread that unpacks segments, one at a time. Started by unpack-threads.ts. */
const port = parentPort!

/** For larger writes Linux looks for larger pieces of memory, which takes several times as long. */
const WRITE_BYTES = 128 * 1024

port.on('message', (task: UnpackTask) => {
  const answer: Unpacked = { error: null }
  try {
    unpack(task)
  } catch (thrown) {
    answer.error = plain(asPostboxError(thrown))
  }
  port.postMessage(answer)
})

/** Writes a segment's raw bytes. Throws when they are not what key and name say; then the file is worth nothing. */
function unpack({ memory, bytes, key, mark, name, systemIdentifier, to }: UnpackTask): void {
  const file = openSync(to, 'r+')
  try {
    const hash = createHash('sha256')
    let written = 0
    const frames = framesOf(Buffer.from(memory, 0, bytes), key)
    const segmentBytes = checkedSegmentBytes(decompressBeginning(frames, key), name, systemIdentifier)
    for (const frame of frames) {
      const raw = decompressFrameNow(frame, key, segmentBytes)
      if (written + raw.length > segmentBytes) throw wrongSize(name, segmentBytes)
      hash.update(raw)
      writeWhole(file, raw)
      written += raw.length
      giveBack(raw)
    }
    if (sha12(hash.digest()) !== mark) throw damagedWal(key)
    if (written !== segmentBytes) throw wrongSize(name, segmentBytes)
  } finally {
    closeSync(file)
  }
}

function checkedSegmentBytes(beginning: Buffer, name: string, systemIdentifier: string): number {
  const { segmentBytes } = readSegmentHeader(beginning)
  checkSegmentHeader(beginning, namedSegment(name, segmentBytes), segmentBytes, systemIdentifier)
  return segmentBytes
}

function writeWhole(file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, Math.min(WRITE_BYTES, bytes.length - at))
}

function wrongSize(name: string, segmentBytes: number): PostboxError {
  const message = `segment ${name} does not have the ${segmentBytes} bytes that its header says`
  return new PostboxError('wal_invalid', message, 'The object is not what it claims to be.')
}
