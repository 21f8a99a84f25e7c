import type { S3Client } from '@aws-sdk/client-s3'
import { z } from 'zod'
import { archiveError } from '../archive-error.js'
import type { Archive } from '../archive.js'
import { putJson } from '../put-json.js'
import { PROBE_PREFIX, type Probe } from './probe.js'

/** Of a stored probe: what "postbox list" shows. */
const Summary = z.object({
  postbox_probe: z.literal(1),
  probed_at: z.iso.datetime(),
  immutable: z.boolean(),
  retention: z.object({ mode: z.string(), until: z.string() }).nullable(),
  oldest_signature_seconds: z.number(),
})

export type ProbeSummary = z.infer<typeof Summary>

const RESULTS = `${PROBE_PREFIX}result-`

/** Keeps a probe with the archive. Throws `archive_refused` when the S3 key may not. */
export async function storeProbe(s3: S3Client, bucket: string, probe: Probe): Promise<string> {
  const key = `${RESULTS}${probe.probed_at.replace(/[-:]|\.\d+/g, '')}.json`
  const content = Buffer.from(JSON.stringify(probe, null, 1) + '\n')
  try {
    await s3.send(putJson(bucket, key, content))
  } catch (thrown) {
    throw archiveError(thrown, bucket, `storing ${key}`)
  }
  return key
}

/** The newest probe of the bucket; null when there was none. */
export async function lastProbe(archive: Archive): Promise<ProbeSummary | null> {
  let newest = null
  for await (const object of archive.list(RESULTS)) newest = object
  if (newest === null) return null
  return Summary.parse(JSON.parse((await archive.read(newest)).toString()))
}
