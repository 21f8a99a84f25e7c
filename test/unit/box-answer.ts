import type { Answer, Posted } from '../../src/box/answer.js'
import { createPart } from '../../src/box/part.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'

const s3 = { endpoint: 'http://127.0.0.1:1', region: 'us-east-1', accessKey: 'POSTBOXKEY', secretKey: 'SK' } as const

export const part = createPart('db1/1/x', [Buffer.from('bytes')], 'text/plain')

/** The part as it was posted with a grant of db1. */
export async function postedPart(): Promise<Posted> {
  return { part, grant: await makeGrant(s3, { server: 'db1', bucket: 'b' }), now: new Date() }
}

/** An S3 error as XML. */
export const xml = (code: string, message: string, more = ''): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message>${more}<RequestId>R</RequestId></Error>`

export const answer = (status: number, body: string, headers: Record<string, string> = {}): Answer => ({
  status,
  body,
  headers,
})
