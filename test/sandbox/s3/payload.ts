import { createHash } from 'node:crypto'
import { S3Error } from './errors.js'
import type { Exchange } from './request.js'
import { contentLength } from './request.js'

/** A signed request's bytes, and the checksums that came with them. */
export interface Payload {
  bytes: Buffer
  given: (name: string) => string | undefined
}

const badChunk = (): S3Error => new S3Error(400, 'InvalidChunkSizeError', 'A chunk of the body is malformed.')

/** Reads the body as `x-amz-content-sha256` says: signed by its hash, unsigned, or in chunks with a trailer. */
export async function readPayload(exchange: Exchange, contentSha256: string): Promise<Payload> {
  const { request } = exchange
  contentLength(request)
  const sent = await exchange.body().whole()
  const header = (name: string): string | undefined => {
    const value = request.headers[name]
    return Array.isArray(value) ? value.join(',') : value
  }
  if (contentSha256 === 'UNSIGNED-PAYLOAD') return { bytes: sent, given: header }
  if (contentSha256 === 'STREAMING-UNSIGNED-PAYLOAD-TRAILER') {
    const { bytes, trailers } = dechunk(sent)
    if (Number(header('x-amz-decoded-content-length')) !== bytes.length) throw badChunk()
    return { bytes, given: (name) => trailers.get(name) ?? header(name) }
  }
  if (!/^[0-9a-f]{64}$/.test(contentSha256)) {
    throw new S3Error(501, 'NotImplemented', `x-amz-content-sha256 of ${contentSha256} is not implemented`)
  }
  if (createHash('sha256').update(sent).digest('hex') !== contentSha256) {
    throw new S3Error(
      400,
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
  }
  return { bytes: sent, given: header }
}

/** Undoes aws-chunked: `size in hex CRLF bytes CRLF`, a chunk of size 0, then trailers. */
function dechunk(sent: Buffer): { bytes: Buffer; trailers: Map<string, string> } {
  const chunks: Buffer[] = []
  let at = 0
  for (;;) {
    const lineEnd = sent.indexOf('\r\n', at)
    const size = Number.parseInt(sent.toString('latin1', at, Math.max(lineEnd, at)), 16)
    if (lineEnd < 0 || Number.isNaN(size)) throw badChunk()
    at = lineEnd + 2
    if (size === 0) break
    chunks.push(sent.subarray(at, at + size))
    at += size + 2
  }
  const lines = sent
    .toString('latin1', at)
    .split('\r\n')
    .filter((line) => line.includes(':'))
  const trailers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return { bytes: Buffer.concat(chunks), trailers }
}
