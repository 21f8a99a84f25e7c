import { randomBytes } from 'node:crypto'
import type { Box, Part } from '../../../src/box/box.js'
import type { Grant } from '../../../src/box/grant.js'
import { createHttpBox, type HttpBox } from '../../../src/box/http-box.js'
import { createPart } from '../../../src/box/part.js'
import { retrying, type RetryPolicy } from '../../../src/box/retrying.js'
import type { Throttle } from '../../../src/box/throttle.js'
import { startS3, type LocalS3 } from './server.js'
import { makeGrant } from './test-grant.js'

export const MIB = 1024 * 1024

/** A signal that is never aborted. */
export const never = new AbortController().signal

/** Retries without the waiting. */
export const quick: RetryPolicy = { retries: 4, minDelayMs: 5, maxDelayMs: 50 }

/** For describe.each: what holds over HTTP must hold over HTTPS. */
export const bothSchemes = [
  { over: 'http', tls: false },
  { over: 'https', tls: true },
]

/** A box with a local S3 behind it: bucket `b` keeps versions, bucket `lock` retains them. */
export interface TestBox {
  s3: LocalS3
  /** tries once */
  http: HttpBox
  /** tries again, quickly */
  box: Box
  /** the grant in use; may be replaced */
  grant: Grant
  close(): Promise<void>
}

/** Opens a box for server `db1` and bucket `b`. */
export async function openTestBox(tls: boolean, throttle?: Throttle): Promise<TestBox> {
  const buckets = [
    { name: 'b', versioned: true },
    { name: 'lock', lock: true },
  ]
  const s3 = await startS3({ buckets, tls })
  const http = createHttpBox({
    grant: () => on.grant,
    connections: 3,
    ...(s3.ca ? { ca: s3.ca } : {}),
    ...(throttle ? { throttle } : {}),
  })
  const on: TestBox = {
    s3,
    http,
    box: retrying(http, quick),
    grant: await makeGrant(s3, { server: 'db1', bucket: 'b' }),
    close: async () => {
      await http.close()
      await s3.close()
    },
  }
  return on
}

/** A part of random bytes in one chunk. */
export const randomPart = (key: string, bytes: number): Part =>
  createPart(key, [randomBytes(bytes)], 'application/zstd')

/** A part of random bytes in chunks of uneven size, as frames are. */
export function chunkedPart(key: string, bytes: number): Part {
  const whole = randomBytes(bytes)
  const cuts = [0, 1, Math.floor(bytes / 3), bytes - 7, bytes]
  const chunks = cuts.slice(1).map((end, i) => whole.subarray(cuts[i], end))
  return createPart(key, chunks, 'application/zstd')
}
