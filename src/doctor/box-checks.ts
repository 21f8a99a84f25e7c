import { boxClockAheadMs } from '../box/box-clock.js'
import { DOCTOR_LINE } from '../box/doctor-line.js'
import { checkGrant } from '../box/grant-check.js'
import type { Grant } from '../box/grant.js'
import { createHttpBox } from '../box/http-box.js'
import { requestGrant } from '../box/issuer-client.js'
import { doctorKey } from '../box/key-names.js'
import { createPart } from '../box/part.js'
import type { Secret } from '../secret.js'
import { fail, looking, ok, unknown, warn, type Check } from './check.js'

/** A box that needs longer for a line of text is of no use. */
const POST_MS = 30_000
const SKEW_WARN_MS = 60_000
/** What S3 allows. */
const SKEW_FAIL_MS = 15 * 60_000

export interface BoxAccess {
  ca: string | undefined
  signal: AbortSignal
}

/** The grant that the catalog holds, and what there is to say of it. */
export function grantCheck(
  content: unknown,
  server: string | null,
  warnSeconds: number,
  hasIssuer: boolean,
): [Check, Grant | null] {
  const name = 'grant'
  if (content === null) {
    if (hasIssuer) return [ok(name, 'none is installed: the issuer gives one'), null]
    const hint =
      'Run "postbox grant" where the S3 keys are, then select backup.install_grant(…); or set POSTBOX_ISSUER_URL.'
    return [{ ...fail(name, 'no grant is installed', hint), code: 'grant_missing' }, null]
  }
  try {
    const grant = checkGrant(content, server, new Date())
    return [expiryCheck(name, grant, warnSeconds), grant]
  } catch (thrown) {
    const { message, hint, code } = thrown as { message: string; hint: string; code: string }
    return [{ ...(hasIssuer ? warn : fail)(name, message, hint), code }, null]
  }
}

function expiryCheck(name: string, { server, bucket, expires_at }: Grant, warnSeconds: number): Check {
  const hours = (Date.parse(expires_at) - Date.now()) / 3_600_000
  const seen = `for ${server} in ${bucket}, until ${expires_at} (${hours.toFixed(1)} h)`
  if (hours * 3600 >= warnSeconds) return ok(name, seen)
  return warn(
    name,
    `${seen}: it ends soon`,
    'Run "postbox grant" where the S3 keys are, then select backup.install_grant(…).',
  )
}

/** Asks the issuer as the worker does. What it gives is used for the look alone, and kept nowhere. */
export async function issuerCheck(
  { url, token }: { url: string; token: Secret },
  server: string | null,
  { ca, signal }: BoxAccess,
): Promise<[Check, Grant | null]> {
  let grant: Grant | null = null
  const check = await looking('issuer', async () => {
    const answer = await requestGrant({ url, token, signal, ...(ca === undefined ? {} : { ca }) })
    grant = checkGrant(answer.grant, server, new Date())
    const seen = `${url} knows the token and signs for ${grant.server} until ${grant.expires_at}`
    if (url.startsWith('https:')) return ok('issuer', seen)
    return warn(
      'issuer',
      `${seen}; but the token travels without TLS`,
      'Give the issuer --tls-cert and --tls-key, and use https here.',
    )
  })
  return [check, grant]
}

/** Posts one line, as the worker posts parts. */
export function postCheck(grant: Grant, { ca, signal }: BoxAccess): Promise<Check> {
  return looking('post', async () => {
    const box = createHttpBox({ grant: () => grant, connections: 1, ...(ca === undefined ? {} : { ca }) })
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(POST_MS)])
      const line = createPart('', [DOCTOR_LINE], 'text/plain')
      const { key, versionId } = await box.post({ ...line, key: doctorKey(grant.server, line.sha256) }, bounded)
      if (versionId !== null) return ok('post', `${key} is stored, as a version`)
      const hint =
        'Give the bucket versions, and better an Object Lock: else what is posted later replaces what is there.'
      return warn('post', `${key} is stored; the bucket names no version`, hint)
    } finally {
      await box.close()
    }
  })
}

export function boxEncryptionCheck({ url }: Grant): Check {
  const { protocol, host } = new URL(url)
  if (protocol === 'https:') return ok('box_encryption', `${host} is reached by TLS`)
  return warn(
    'box_encryption',
    `${host} is reached without TLS`,
    'Sign grants for an https address (POSTBOX_S3_ENDPOINT).',
  )
}

export async function boxClockCheck({ url }: Grant, { ca, signal }: BoxAccess): Promise<Check> {
  const name = 'box_clock'
  try {
    const ahead = await boxClockAheadMs(url, ca, signal)
    if (ahead === null) return unknown(name, 'the box does not say what time it is', null)
    return clockCheck(name, "the box's", ahead)
  } catch {
    signal.throwIfAborted()
    return unknown(name, 'the box does not answer', null)
  }
}

/** @param aheadMs how far the other clock is before ours */
export function clockCheck(name: string, whose: string, aheadMs: number): Check {
  const apart = Math.abs(aheadMs)
  const seen = `${whose} clock and this machine's are ${apart < 1500 ? 'less than 2' : Math.round(apart / 1000)} s apart`
  const hint = 'Set the clocks by NTP: grants and times to restore to are told by them.'
  return apart < SKEW_WARN_MS ? ok(name, seen) : (apart < SKEW_FAIL_MS ? warn : fail)(name, seen, hint)
}
