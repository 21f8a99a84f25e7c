import { Agent, request } from 'undici'
import { z } from 'zod'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { retryAfterMs } from './retry-after.js'

export interface GrantRequest {
  /** the issuer's address; `/v1/grants` is added */
  url: string
  token: Secret
  /** certificates to trust in place of the public ones */
  ca?: string | Buffer
  signal: AbortSignal
}

/** An issuer that says nothing for so long is taken to be away. */
const TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 1024 * 1024

const IssuerAnswer = z.object({ grant: z.unknown(), known: z.unknown().optional() })

/**
 * Asks the issuer for a grant. `grant` is still to be checked (grant-check.ts); `news` is what the keyholder knows, such
 * as the last drill.
 *
 * Throws `issuer_refused` when the token is not good, else `issuer_unavailable`.
 */
export async function requestGrant(options: GrantRequest): Promise<{ grant: unknown; news: unknown }> {
  const { url, token, ca, signal } = options
  const agent = new Agent({
    connections: 1,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    connect: { timeout: TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) },
    maxResponseSize: MAX_ANSWER_BYTES,
  })
  try {
    const response = await request(`${url.replace(/\/+$/, '')}/v1/grants`, {
      method: 'POST',
      dispatcher: agent,
      headers: { authorization: `Bearer ${token.reveal()}`, accept: 'application/json' },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    })
    const body = await response.body.text()
    if (response.statusCode !== 200) throw refused(url, response.statusCode, body, response.headers)
    return readAnswer(url, body)
  } catch (thrown) {
    if (signal.aborted) throw signal.reason
    if (thrown instanceof PostboxError) throw thrown
    const message = thrown instanceof Error ? thrown.message || thrown.name : String(thrown)
    throw unavailable(url, message, { cause: thrown })
  } finally {
    await agent.destroy()
  }
}

function readAnswer(url: string, body: string): { grant: unknown; news: unknown } {
  let json: unknown
  try {
    json = JSON.parse(body)
  } catch (cause) {
    throw unavailable(url, 'its answer is not JSON', { cause })
  }
  const parsed = IssuerAnswer.safeParse(json)
  if (!parsed.success) throw unavailable(url, 'its answer holds no grant')
  return { grant: parsed.data.grant, news: parsed.data.known ?? {} }
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

function refused(url: string, status: number, body: string, headers: Headers): PostboxError {
  if (status === 401 || status === 403) {
    return new PostboxError(
      'issuer_refused',
      `the issuer at ${new URL(url).host} refused the token (${status})`,
      'Make a token with "postbox issuer --new-token <server>", put its hash into keyholder.yaml and the token here.',
    )
  }
  const one = headers['retry-after']
  const ms = retryAfterMs({ status, headers: { 'retry-after': Array.isArray(one) ? one[0] : one }, body }, new Date())
  return unavailable(url, `it answered ${status}`, ms === null ? {} : { retryAfterMs: ms })
}

function unavailable(url: string, why: string, options: { cause?: unknown; retryAfterMs?: number } = {}): PostboxError {
  return new PostboxError(
    'issuer_unavailable',
    `no grant from the issuer at ${new URL(url).host}: ${why}`,
    'The grant in use is used to its end meanwhile. See that the issuer runs, and POSTBOX_ISSUER_URL and POSTBOX_CA_FILE.',
    options,
  )
}
