import { createHash } from 'node:crypto'
import { parseHistoryKey, parseSegmentKey, parseTailKey, previousOfFirst, sha12 } from '../../src/box/key-names.js'
import { decompress } from '../../src/keyholder/zstd.js'
import { parseSegmentName, segmentName } from '../../src/wal/segment.js'
import type { Bucket, Version } from '../sandbox/s3/store.js'

/** Versions that were right before: they cannot change. */
const known = new WeakSet<Version>()

/** Tails that are not what their names say. They are named with all that is in front of them in their segment. */
export async function wrongTails(bucket: Bucket): Promise<string[]> {
  const wrong: string[] = []
  const segments = new Map<string, Buffer>()
  const tails = bucket.keys().flatMap((key) => {
    const tail = parseTailKey(key)
    return tail ? [{ key, ...tail }] : []
  })
  for (const { key, name, from, to, sha12: mark } of tails) {
    const ofSegment = tails.filter((one) => one.name === name)
    const start = ofSegment[0]!.from
    for (const version of bucket.versions(key)) {
      if (known.has(version)) continue
      let bytes = segments.get(name)
      if (!bytes) segments.set(name, (bytes = await joined(bucket, ofSegment)))
      const raw = await decompress(version.bytes!, key)
      const all = Buffer.concat([bytes.subarray(0, Number(from - start)), raw])
      const right = raw.length === Number(to - from) && sha12(createHash('sha256').update(all).digest()) === mark
      if (right) known.add(version)
      else wrong.push(`${key} holds other bytes than it says`)
    }
  }
  return wrong
}

/** The bytes of one segment by its tails, whoever posted them: they repeat each other. */
async function joined(bucket: Bucket, tails: readonly { key: string; from: bigint; to: bigint }[]): Promise<Buffer> {
  const start = tails[0]!.from
  const end = tails.reduce((last, { to }) => (to > last ? to : last), start)
  const bytes = Buffer.alloc(Number(end - start))
  for (const { key, from } of tails) (await decompress(bucket.get(key), key)).copy(bytes, Number(from - start))
  return bytes
}

/** Segments and tails that do not say what they follow, where that is stored. Of one server, which wrote no name twice. */
export function wrongChain(bucket: Bucket, segmentBytes: number): string[] {
  const keys = bucket.keys()
  const marks = new Map(keys.flatMap((key) => one(parseSegmentKey(key)?.name, parseSegmentKey(key)?.sha12)))
  const histories = new Map(keys.flatMap((key) => one(parseHistoryKey(key)?.timeline, parseHistoryKey(key)?.sha12)))
  const wrong: string[] = []
  for (const key of keys) {
    const parsed = parseSegmentKey(key) ?? parseTailKey(key)
    if (!parsed) continue
    const { timeline, start } = parseSegmentName(parsed.name, segmentBytes)
    const front = (on: number) =>
      marks.get(segmentName({ timeline: on, start: start - BigInt(segmentBytes) }, segmentBytes))
    const onOwn = front(timeline)
    const parents = Array.from({ length: timeline - 1 }, (_, index) => front(timeline - 1 - index))
    const parent = parents.find((mark) => mark !== undefined)
    const expected = onOwn ?? (parent && previousOfFirst(parent, histories.get(timeline) ?? ''))
    if (expected !== undefined && parsed.previous !== expected) wrong.push(`${key} does not follow ${expected}`)
  }
  return wrong
}

const one = <Key, Value>(key: Key | undefined, value: Value | undefined): [Key, Value][] =>
  key === undefined || value === undefined ? [] : [[key, value]]
