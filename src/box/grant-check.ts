import { z } from 'zod'
import { PostboxError } from '../errors.js'
import { Grant } from './grant.js'
import { checkServerName } from './server-name.js'

/** Fields that would let an upload do more than store bytes. */
const FORBIDDEN = ['acl', 'redirect', 'success_action_redirect', 'tagging', 'x-amz-website-redirect-location']

const Policy = z.object({
  expiration: z.iso.datetime(),
  conditions: z.array(
    z.union([
      z.tuple([z.literal('content-length-range'), z.number().int(), z.number().int()]),
      z.tuple([z.enum(['eq', 'starts-with']), z.string().startsWith('$'), z.string()]),
      z.record(z.string(), z.string()),
    ]),
  ),
})

interface Condition {
  operator: 'eq' | 'starts-with'
  value: string
}

interface ReadPolicy {
  expiration: string
  range: [number, number] | null
  /** by field name in lower case */
  conditions: Map<string, Condition>
}

/**
 * Checks a grant before it is kept: its shape, and that its policy allows what Postbox posts and no more.
 *
 * `server`: the one it must be for, or null where that is not known yet. Throws `grant_expired` or `grant_invalid` with
 * the reason. No policy, signature or credential is ever part of a message.
 */
export function checkGrant(value: unknown, server: string | null, now: Date): Grant {
  const parsed = Grant.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw invalid(`${issue.path.join('.') || 'it'}: ${issue.message}`)
  }
  const grant = parsed.data
  checkScope(grant, server)
  checkFields(grant)
  const policy = readPolicy(grant.fields['policy']!)
  checkConditions(grant, policy)
  if (Date.parse(grant.expires_at) <= now.getTime()) {
    throw new PostboxError(
      'grant_expired',
      `the grant for ${grant.server} ended at ${grant.expires_at}`,
      'Make a new one with "postbox grant" where the S3 keys are; see that both clocks are right.',
    )
  }
  return grant
}

function checkScope(grant: Grant, server: string | null): void {
  try {
    checkServerName(grant.server)
  } catch (cause) {
    throw invalid('its server is not a server name', cause)
  }
  if (server !== null && grant.server !== server) throw invalid(`it is for ${grant.server} and not for ${server}`)
  if (grant.key_prefix !== `${grant.server}/`) throw invalid('its key_prefix is not the server followed by a slash')
  const url = new URL(grant.url)
  if (url.search || url.hash || url.username || url.password) throw invalid('its url has more than host and path')
}

function checkFields({ fields }: Grant): void {
  for (const [name, value] of Object.entries(fields)) {
    if (!/^[a-z0-9_-]+$/.test(name)) throw invalid('a field is not named in lower case letters, digits and hyphens')
    // A line end would end the field and begin another.
    // eslint-disable-next-line no-control-regex
    if (/[\x00-\x1f\x7f]/.test(value)) throw invalid(`field ${name} holds a control character`)
    if (FORBIDDEN.includes(name)) throw invalid(`field ${name} is not allowed`)
  }
  for (const name of ['policy', 'x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'success_action_status']) {
    if (!fields[name]) throw invalid(`field ${name} is missing: it is no POST policy of Signature Version 4`)
  }
  for (const name of ['key', 'content-type', 'x-amz-checksum-sha256', 'file']) {
    if (name in fields) throw invalid(`field ${name} is the poster's to fill`)
  }
  if (!/^[0-9a-f]{64}$/.test(fields['x-amz-signature'] ?? '')) throw invalid('x-amz-signature is not 64 hex digits')
  if (fields['x-amz-algorithm'] !== 'AWS4-HMAC-SHA256') throw invalid('x-amz-algorithm is not AWS4-HMAC-SHA256')
  if (fields['success_action_status'] !== '201') throw invalid('success_action_status is not 201')
}

function readPolicy(base64: string): ReadPolicy {
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'))
  } catch {
    throw invalid('its policy is not JSON in base64')
  }
  const parsed = Policy.safeParse(json)
  if (!parsed.success)
    throw invalid(`its policy is malformed at ${parsed.error.issues[0]!.path.join('.') || 'its top'}`)
  const read: ReadPolicy = { expiration: parsed.data.expiration, range: null, conditions: new Map() }
  for (const condition of parsed.data.conditions) {
    if (!Array.isArray(condition)) {
      const entries = Object.entries(condition)
      if (entries.length !== 1) throw invalid('a condition of its policy names not exactly one field')
      addCondition(read, entries[0]![0], { operator: 'eq', value: entries[0]![1] })
    } else if (condition[0] === 'content-length-range') {
      if (read.range) throw invalid('its policy has two content-length-range conditions')
      read.range = [condition[1], condition[2]]
    } else addCondition(read, condition[1].slice(1), { operator: condition[0], value: condition[2] })
  }
  return read
}

function addCondition({ conditions }: ReadPolicy, field: string, condition: Condition): void {
  const name = field.toLowerCase()
  if (conditions.has(name)) throw invalid(`its policy has two conditions for ${name}`)
  conditions.set(name, condition)
}

/** Both ways: what Postbox posts meets every condition, and every field that it posts has one. */
function checkConditions(grant: Grant, { expiration, range, conditions }: ReadPolicy): void {
  if (Date.parse(expiration) !== Date.parse(grant.expires_at)) throw invalid('its policy does not end at expires_at')
  if (!range || range[0] > 1 || range[1] !== grant.max_part_bytes) {
    throw invalid('its policy has no content-length-range from 1 to max_part_bytes')
  }
  mustBe(conditions, 'bucket', 'eq', grant.bucket)
  mustBe(conditions, 'key', 'starts-with', grant.key_prefix)
  mustBe(conditions, 'x-amz-checksum-sha256', 'starts-with', '')
  mustBe(conditions, 'content-type', 'starts-with', '')
  const free = ['policy', 'x-amz-signature']
  for (const [name, value] of Object.entries(grant.fields)) {
    if (!free.includes(name)) mustBe(conditions, name, 'eq', value)
  }
  const posted = new Set([...Object.keys(grant.fields), 'bucket', 'key', 'content-type', 'x-amz-checksum-sha256'])
  for (const name of conditions.keys()) {
    if (FORBIDDEN.includes(name)) throw invalid(`its policy allows ${name}`)
    if (!posted.has(name)) throw invalid(`its policy asks for ${name}, which its fields do not have`)
  }
}

function mustBe(
  conditions: Map<string, Condition>,
  name: string,
  operator: Condition['operator'],
  value: string,
): void {
  const condition = conditions.get(name)
  if (!condition) throw invalid(`its policy has no condition for ${name}`)
  if (condition.operator !== operator || condition.value !== value) {
    throw invalid(`its policy's condition for ${name} is not the "${operator}" condition of this grant`)
  }
}

function invalid(reason: string, cause?: unknown): PostboxError {
  return new PostboxError(
    'grant_invalid',
    `this grant cannot be used: ${reason}`,
    'Make one with "postbox grant" where the S3 keys are, and pass it on unchanged.',
    { cause },
  )
}
