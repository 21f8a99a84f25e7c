import type { S3Client } from '@aws-sdk/client-s3'
import { z } from 'zod'
import { Lsn } from '../../box/manifest.js'
import type { Home } from '../../box/key-names.js'
import { archiveError } from '../archive-error.js'
import type { Archive } from '../archive.js'
import { putJson } from '../put-json.js'
import type { VerifiedHome } from './verify-home.js'

const LsnRange = z.object({ timeline: z.number().int().positive(), from_lsn: Lsn, to_lsn: Lsn })

/** What "postbox verify" found of one life of a server. Written by the keyholder alone. */
const VerifyResult = z.object({
  postbox_verify: z.literal(1),
  server: z.string(),
  system_identifier: z.string().regex(/^\d+$/),
  verified_at: z.iso.datetime(),
  /** nothing that was promised is lost */
  ok: z.boolean(),
  /** every byte was read */
  deep: z.boolean(),
  errors: z.number().int(),
  warnings: z.number().int(),
  /** of the first problem, or null */
  problem: z.string().nullable(),
  wal_gaps: z.array(LsnRange),
  /** what was seen of each timeline */
  wal: z.array(LsnRange),
})

export type VerifyResult = z.infer<typeof VerifyResult>

/** Where results of a life are: outside all servers' folders, as those of drills. */
const verifyPrefix = ({ server, systemIdentifier }: Home): string => `.postbox/verify/${server}/${systemIdentifier}/`

/** A result of verifyHome(), as it is kept. */
export function verifyResult(verified: VerifiedHome, deep: boolean, at: Date): VerifyResult {
  const { server, system_identifier, problems, wal_gaps, wal } = verified
  const errors = problems.filter(({ severity }) => severity === 'error')
  return {
    postbox_verify: 1,
    server,
    system_identifier,
    verified_at: at.toISOString(),
    ok: errors.length === 0,
    deep,
    errors: errors.length,
    warnings: problems.length - errors.length,
    problem: (errors[0] ?? problems[0])?.problem ?? null,
    wal_gaps,
    wal,
  }
}

/** Keeps a result with the archive; its key. Throws `archive_refused` when the S3 key may not. */
export async function storeVerify(s3: S3Client, bucket: string, result: VerifyResult): Promise<string> {
  const home = { server: result.server, systemIdentifier: result.system_identifier }
  const key = `${verifyPrefix(home)}${result.verified_at.replace(/[-:]|\.\d+/g, '')}.json`
  try {
    await s3.send(putJson(bucket, key, Buffer.from(JSON.stringify(result, null, 1) + '\n')))
  } catch (thrown) {
    throw archiveError(thrown, bucket, `storing ${key}`)
  }
  return key
}

/** The newest result for a life; null when there is none. */
export async function lastVerify(archive: Archive, home: Home): Promise<VerifyResult | null> {
  let newest = null
  for await (const object of archive.list(verifyPrefix(home))) newest = object
  if (newest === null) return null
  return parsed((await archive.read(newest)).toString())
}

/** What cannot be read vouches for nothing. */
function parsed(text: string): VerifyResult | null {
  try {
    return VerifyResult.parse(JSON.parse(text))
  } catch {
    return null
  }
}
