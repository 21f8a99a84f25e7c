import { randomBytes } from 'node:crypto'
import {
  DeleteObjectCommand,
  GetObjectRetentionCommand,
  ListObjectVersionsCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { archiveError } from '../archive-error.js'
import { openArchive } from '../archive.js'
import { MAX_BYTES, ProbePoster, type Attempt } from './posting.js'

export interface Finding {
  name: string
  /**
   * good: as Postbox needs it. weak: not so, and Postbox makes up for it. bad: not so. unknown: the S3 key may not look, or
   * the service does not say
   */
  outcome: 'good' | 'weak' | 'bad' | 'unknown'
  /** what was seen */
  seen: string
  /** what that means for backups: a sentence */
  meaning: string
}

/** What a bucket was seen to do, by objects posted just now. */
export interface Probe {
  postbox_probe: 1
  bucket: string
  probed_at: string
  /** whether a posted version was seen to be retained, so that not even the keyholder's key can delete it */
  immutable: boolean
  retention: { mode: string; until: string } | null
  /** oldest signing date that a POST was taken with, in seconds: how long a grant may live */
  oldest_signature_seconds: number
  findings: Finding[]
}

/** Objects of all probes, and their results. No server can have this name. */
export const PROBE_PREFIX = '.postbox/probe/'

const HOUR = 3600
const DAY = 24 * HOUR
const SIGNATURE_AGES = [HOUR - 60, 25 * HOUR, 6 * DAY, 8 * DAY]

/** Tries a bucket with throwaway objects and takes them away again, where that is possible. */
export async function probeBucket(s3: S3Client, bucket: string, ca: string | undefined): Promise<Probe> {
  const now = new Date()
  const prefix = `${PROBE_PREFIX}${now.toISOString().replace(/[-:]|\.\d+/g, '')}-${randomBytes(4).toString('hex')}/`
  const poster = new ProbePoster(s3, bucket, prefix, ca)
  try {
    const findings = [await taken(poster)]
    const { refused, findings: refusing } = await refusals(poster)
    findings.push(...refusing)
    findings.push(...(await privacy(poster)))
    const ages = await signatureAges(poster)
    const { versions, retained } = await protection(s3, poster)
    findings.push(ages.finding, ...versions, retained.finding, await nothingOf(s3, bucket, refused))
    return {
      postbox_probe: 1,
      bucket,
      probed_at: now.toISOString(),
      immutable: retained.seen?.mode === 'COMPLIANCE',
      retention: retained.seen,
      oldest_signature_seconds: ages.oldest,
      findings,
    }
  } finally {
    await tidyUp(s3, bucket, prefix)
    await poster.close()
  }
}

async function taken(poster: ProbePoster): Promise<Finding> {
  const { status, said } = await poster.post({ name: 'taken' })
  const outcome = status === 201 ? 'good' : 'bad'
  const meaning =
    outcome === 'good'
      ? 'The box takes POST uploads, which is all that a worker can do.'
      : 'Without POST policy uploads this service cannot be a box; see what it answered.'
  return { name: 'a form with a good policy is stored', outcome, seen: seen(status, said), meaning }
}

/** What must be refused, and what it would mean if it were not. */
const REFUSED: (Attempt & { title: string; meaning: string; otherwise?: 'weak' })[] = [
  {
    name: 'field',
    title: 'a field that the policy does not name',
    fields: { 'x-amz-meta-probe': 'x' },
    meaning: 'An intruder could set tags, access rights or redirects that nobody signed.',
  },
  {
    name: 'large',
    title: 'more bytes than the policy allows',
    content: Buffer.alloc(MAX_BYTES + 1),
    meaning: 'An intruder could fill the bucket with objects of any size.',
  },
  {
    name: 'empty',
    title: 'an object without a byte',
    content: Buffer.alloc(0),
    meaning: 'Policies are not read closely: do not trust this service with grants.',
  },
  {
    name: 'expired',
    title: 'a policy that has expired',
    signedAgo: 2 * HOUR,
    lasts: HOUR,
    meaning: 'A grant would live for ever: whoever finds an old one could post.',
  },
  {
    name: '/.postbox/elsewhere',
    title: "a key outside the policy's prefix",
    meaning: "One server could post into another one's folder.",
  },
  {
    name: 'signature',
    title: 'a policy whose signature is wrong',
    fields: { 'x-amz-signature': '0'.repeat(64) },
    meaning: 'Anybody could post.',
  },
  {
    name: 'checksum',
    title: 'bytes that differ from their SHA-256',
    claimed: Buffer.alloc(32, 1),
    otherwise: 'weak',
    meaning: 'Damage on the way is not seen by the service; Postbox still compares the MD5 that it answers.',
  },
]

async function refusals(poster: ProbePoster): Promise<{ findings: Finding[]; refused: string[] }> {
  const findings: Finding[] = []
  const refused: string[] = []
  for (const { title, meaning, otherwise = 'bad', ...attempt } of REFUSED) {
    const { status, said } = await poster.post(attempt)
    const good = status >= 400 && status < 500
    if (good) refused.push(poster.keyOf(attempt.name))
    findings.push({
      name: `${title}: refused`,
      outcome: good ? 'good' : otherwise,
      seen: seen(status, said),
      meaning: good ? 'As it should be.' : meaning,
    })
  }
  return { findings, refused }
}

/** The bucket must not be readable by everybody. */
async function privacy(poster: ProbePoster): Promise<Finding[]> {
  const url = (await poster.bucketUrl()).replace(/\/$/, '')
  const attempts = [
    ['reading', `${url}/${poster.keyOf('taken')}`],
    ['listing', `${url}/?list-type=2&max-keys=1`],
  ] as const
  const findings: Finding[] = []
  for (const [doing, address] of attempts) {
    const status = await poster.anonymously(address)
    const good = status === 403 || status === 401
    const meaning = good ? 'As it should be.' : 'The bucket is open to everybody: close it now.'
    findings.push({
      name: `${doing} without a key is refused`,
      outcome: good ? 'good' : 'bad',
      seen: seen(status, ''),
      meaning,
    })
  }
  return findings
}

async function signatureAges(poster: ProbePoster): Promise<{ oldest: number; finding: Finding }> {
  let oldest = 0
  let refusal = 'none was refused'
  for (const signedAgo of SIGNATURE_AGES) {
    const { status, said } = await poster.post({ name: `age-${signedAgo}`, signedAgo, lasts: signedAgo + HOUR })
    if (status !== 201) {
      refusal = `one of ${hours(signedAgo)} was refused with ${seen(status, said)}`
      break
    }
    oldest = signedAgo
  }
  const finding: Finding = {
    name: 'how old a signature may be',
    outcome: oldest >= HOUR - 60 ? 'good' : 'bad',
    seen: `${oldest === 0 ? 'none' : `one of ${hours(oldest)}`} was taken, ${refusal}`,
    meaning: oldest === 0 ? 'Grants must be very short here.' : `A grant may live for ${hours(oldest)} at least.`,
  }
  return { oldest, finding }
}

const hours = (seconds: number): string => `${Math.round(seconds / HOUR)} h`

/** A post over an object must leave the first version as it is; a retained one cannot be deleted either. */
async function protection(s3: S3Client, poster: ProbePoster) {
  const name = 'over'
  const key = poster.keyOf(name)
  await poster.post({ name, content: Buffer.from('first') })
  await poster.post({ name, content: Buffer.from('second') })
  const archive = openArchive(s3, poster.bucket)
  const found = []
  for await (const object of archive.list(key)) found.push(object)
  const [object] = found
  const first = object && (await archive.read(object)).toString()
  const kept = object?.versionId != null && object.storedOver && first === 'first'
  const versions: Finding[] = [
    {
      name: 'a second post under a key makes a version, and the first stays',
      outcome: kept ? 'good' : 'bad',
      seen: kept ? 'both versions are there' : `the first reads ${JSON.stringify(first ?? null)}`,
      meaning: kept
        ? 'Whoever takes the server cannot replace a backup: readers take the earliest version.'
        : 'An intruder can replace every backup: turn versioning on, better Object Lock.',
    },
  ]
  return { versions, retained: await retention(s3, poster.bucket, key, object?.versionId ?? null) }
}

async function retention(s3: S3Client, bucket: string, key: string, versionId: string | null) {
  const finding = (outcome: Finding['outcome'], what: string, meaning: string): Finding => ({
    name: 'a posted version is retained by Object Lock',
    outcome,
    seen: what,
    meaning,
  })
  const NOT =
    'Whoever has a key that may delete can delete every backup: make a bucket with Object Lock and a default retention.'
  if (versionId === null) return { seen: null, finding: finding('bad', 'there are no versions', NOT) }
  try {
    const { Retention } = await s3.send(
      new GetObjectRetentionCommand({ Bucket: bucket, Key: key, VersionId: versionId }),
    )
    const { Mode: mode, RetainUntilDate: until } = Retention ?? {}
    if (!mode || !until) return { seen: null, finding: finding('bad', 'no retention on it', NOT) }
    const seenOne = { mode, until: until.toISOString() }
    const compliance = mode === 'COMPLIANCE'
    const meaning = compliance
      ? 'Immutable until then: no key can delete it, not even the owner.'
      : 'Keys with s3:BypassGovernanceRetention can still delete it: compliance mode lets nobody.'
    return { seen: seenOne, finding: finding(compliance ? 'good' : 'bad', `${mode} until ${seenOne.until}`, meaning) }
  } catch (thrown) {
    const { name } = thrown as { name?: string }
    const none = /NoSuchObjectLockConfiguration|InvalidRequest|ObjectLockConfigurationNotFound/.test(name ?? '')
    if (none) return { seen: null, finding: finding('bad', 'no retention on it', NOT) }
    const hint = 'Not seen, so not promised: the S3 key needs s3:GetObjectRetention.'
    return { seen: null, finding: finding('unknown', name ?? 'no answer', hint) }
  }
}

/** Of what was refused nothing may be there. */
async function nothingOf(s3: S3Client, bucket: string, refused: readonly string[]): Promise<Finding> {
  const archive = openArchive(s3, bucket)
  const there: string[] = []
  for (const key of refused) for await (const object of archive.list(key)) if (object.key === key) there.push(key)
  return {
    name: 'what was refused is not there',
    outcome: there.length === 0 ? 'good' : 'bad',
    seen: there.length === 0 ? 'nothing of it' : there.join(', '),
    meaning: there.length === 0 ? 'As it should be.' : 'The service stores first and checks later: do not trust it.',
  }
}

const seen = (status: number, said: string): string => `${status}${said === '' ? '' : ` ${said}`}`

/** Retained versions stay until their time; keys that may not delete leave all. */
async function tidyUp(s3: S3Client, bucket: string, prefix: string): Promise<void> {
  for (const under of [prefix, '.postbox/elsewhere']) {
    try {
      const { Versions = [] } = await s3.send(new ListObjectVersionsCommand({ Bucket: bucket, Prefix: under }))
      for (const { Key, VersionId } of Versions) {
        await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key, VersionId })).catch(() => undefined)
      }
    } catch (thrown) {
      // They are small, and say what they are.
      void archiveError(thrown, bucket, 'tidying up')
    }
  }
}
