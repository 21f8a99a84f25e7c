import pg from 'pg'
import { z } from 'zod'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { catalogError } from './catalog-error.js'
import { sessionConfig } from './driver.js'
import { endClient, hangUpOnAbort } from './end-client.js'
import { BigIntText, NumberText } from './row-values.js'
import { TIMELINE_NOW } from './wal.js'

const Answer = z.object({
  system_identifier: BigIntText,
  /** null on a standby */
  timeline: NumberText.nullable(),
})

interface Candidate {
  url: Secret
  address: string
  answer: z.infer<typeof Answer> | PostboxError
}

/** For who would rather ask fewer than wait for all. */
export interface Haste {
  /** when it is aborted, who has not answered is taken to be away */
  signal: AbortSignal
  /** how long others are waited for once a primary has answered, which may be one that a failover left behind */
  othersMs: number
}

/**
 * The one of several servers that is the primary, where alone the catalog can be written. One address is taken as it is.
 *
 * Of two primaries, that on the later timeline: the other was left behind by a failover, and runs again.
 *
 * Throws `database_unavailable` while none is, `config_invalid` when they are not copies of each other, and what each of
 * them says when all refuse.
 *
 * @param haste only for who reads: to write to a primary that was left behind is worse than to wait
 */
export async function findPrimary(
  urls: readonly Secret[],
  warn: (text: string) => void,
  haste: Haste | null = null,
): Promise<Secret> {
  if (urls.length === 1) return urls[0]!
  const candidates = await (haste ? askInHaste(urls, haste) : Promise.all(urls.map((url) => ask(url, null))))
  checkOneSystem(candidates)
  const primaries = candidates.filter((one) => timelineOf(one) !== null)
  const [first, ...others] = primaries.toSorted((a, b) => timelineOf(b)! - timelineOf(a)!)
  if (!first) throw noPrimary(candidates)
  for (const { address } of others) {
    warn(`two servers are primaries, ${first.address} and ${address}: taking ${first.address}, stop the other`)
  }
  return first.url
}

async function askInHaste(urls: readonly Secret[], { signal, othersMs }: Haste): Promise<Candidate[]> {
  const found = new AbortController()
  const enough = AbortSignal.any([signal, found.signal])
  const asked = urls.map(async (url) => {
    const candidate = await ask(url, enough)
    if (timelineOf(candidate) !== null) {
      setTimeout(() => {
        found.abort()
      }, othersMs).unref()
    }
    return candidate
  })
  return Promise.all(asked)
}

/** @param signal hangs up; null: after 15 s */
async function ask(url: Secret, signal: AbortSignal | null): Promise<Candidate> {
  const client = clientFor(url, signal ? { connectionTimeoutMillis: 0 } : { query_timeout: 15_000 })
  const forget = signal && hangUpOnAbort(client, signal)
  const address = `${client.host}:${client.port}`
  // A server that goes away is said by the query; without a listener it would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query(`
      select c.system_identifier::text, ${TIMELINE_NOW.sql} as timeline
      from pg_catalog.pg_control_system() c`)
    return { url, address, answer: Answer.parse(rows[0]) }
  } catch (thrown) {
    return { url, address, answer: catalogError(thrown) }
  } finally {
    await endClient(client).catch(() => undefined)
    forget?.()
  }
}

function clientFor(url: Secret, timeouts: pg.ClientConfig): pg.Client {
  try {
    return new pg.Client({ ...sessionConfig(url, 'postbox'), ...timeouts })
  } catch (thrown) {
    throw catalogError(thrown)
  }
}

const timelineOf = ({ answer }: Candidate): number | null => (answer instanceof PostboxError ? null : answer.timeline)

function checkOneSystem(candidates: readonly Candidate[]): void {
  const known = candidates.filter(({ answer }) => !(answer instanceof PostboxError))
  const systems = known.map(({ answer }) => (answer as z.infer<typeof Answer>).system_identifier)
  const other = systems.findIndex((system) => system !== systems[0])
  if (other < 0) return
  throw new PostboxError(
    'config_invalid',
    `${known[0]!.address} and ${known[other]!.address} are not copies of one server: their system identifiers differ`,
    'POSTBOX_DATABASE_URL may name a primary and its standbys, and no other server.',
  )
}

function noPrimary(candidates: readonly Candidate[]): PostboxError {
  const failures = candidates.map(({ answer }) => answer).filter((answer) => answer instanceof PostboxError)
  // Nothing but mistakes in the set-up: waiting mends none.
  if (failures.length === candidates.length && failures.every(({ retryable }) => !retryable)) return failures[0]!
  const states = candidates.map(({ address, answer }) =>
    answer instanceof PostboxError ? `${address} fails (${answer.message})` : `${address} is a standby`,
  )
  return new PostboxError(
    'database_unavailable',
    `no server of POSTBOX_DATABASE_URL is a primary: ${states.join('; ')}`,
    'Postbox tries again, until one of them is promoted or comes back.',
  )
}
