import { accessDenied, S3Error } from './errors.js'

/** How many bytes a policy lets a file have. */
export interface SizeRange {
  min: number
  max: number
}

interface FieldCondition {
  operator: 'eq' | 'starts-with'
  field: string
  value: string
  /** as S3 names it when it fails */
  text: string
}

type Condition = FieldCondition | { operator: 'content-length-range'; range: SizeRange }

const FREE = new Set(['x-amz-signature', 'file', 'policy'])

/**
 * Holds the form against its policy, in the order and with the texts of AWS. The signature was checked before.
 *
 * Every condition must be met, and every field sent must have a condition (the bucket also when it is not sent).
 */
export function checkPolicy(fields: ReadonlyMap<string, string>, bucket: string, now: Date): SizeRange {
  const { expiration, conditions } = parsePolicy(fields.get('policy') ?? '')
  if (expiration.getTime() <= now.getTime()) throw accessDenied('Invalid according to Policy: Policy expired.')

  const sent = new Map(fields).set('bucket', fields.get('bucket') ?? bucket)
  let range: SizeRange = { min: 0, max: 5 * 1024 ** 3 }
  const covered = new Set<string>()
  for (const condition of conditions) {
    if (condition.operator === 'content-length-range') {
      range = condition.range
      continue
    }
    covered.add(condition.field)
    if (!holds(condition, sent.get(condition.field), bucket)) {
      throw accessDenied(`Invalid according to Policy: Policy Condition failed: ${condition.text}`)
    }
  }
  const extra = [...sent.keys()].filter(
    (name) => !covered.has(name) && !FREE.has(name) && !name.startsWith('x-ignore-'),
  )
  if (extra.length > 0) throw accessDenied(`Invalid according to Policy: Extra input fields: ${extra.join(', ')}`)
  return range
}

/** Refuses a file outside the range, as S3 does. */
export function checkSize(bytes: number, { min, max }: SizeRange): void {
  if (bytes > max) {
    throw new S3Error(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed size', {
      ProposedSize: String(bytes),
      MaxSizeAllowed: String(max),
    })
  }
  if (bytes < min) {
    throw new S3Error(400, 'EntityTooSmall', 'Your proposed upload is smaller than the minimum allowed size', {
      ProposedSize: String(bytes),
      MinSizeAllowed: String(min),
    })
  }
}

function holds(condition: FieldCondition, value: string | undefined, bucket: string): boolean {
  // The bucket is the one posted to, whatever a field of that name says.
  if (condition.field === 'bucket' && value !== bucket) return false
  if (value === undefined) return false
  if (condition.operator === 'eq') return value === condition.value
  // Of a list of content types each must match.
  const values = condition.field === 'content-type' ? value.split(',') : [value]
  return values.every((one) => one.trim().startsWith(condition.value))
}

const invalid = (why: string): S3Error => new S3Error(400, 'InvalidPolicyDocument', `Invalid Policy: ${why}`)

function parsePolicy(base64: string): { expiration: Date; conditions: Condition[] } {
  let document: unknown
  try {
    document = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'))
  } catch {
    throw invalid('Invalid JSON.')
  }
  const { expiration, conditions } = (document ?? {}) as { expiration?: unknown; conditions?: unknown }
  if (expiration === undefined) throw invalid('Policy missing expiration.')
  // UTC with a Z, nothing else: S3 refuses offsets and blanks.
  if (typeof expiration !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/.test(expiration)) {
    throw invalid(`Invalid 'expiration' value: '${String(expiration)}'`)
  }
  if (!Array.isArray(conditions)) throw invalid('Policy missing conditions.')
  return { expiration: new Date(expiration), conditions: conditions.map(parseCondition) }
}

function parseCondition(condition: unknown): Condition {
  if (Array.isArray(condition)) return parseListed(condition)
  const entries = Object.entries((condition ?? {}) as Record<string, unknown>)
  if (entries.length !== 1)
    throw invalid('Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.')
  const [name, value] = entries[0]!
  if (typeof value !== 'string') throw invalid('Invalid Simple-Condition: value must be a string.')
  const text = `["eq", "$${name}", "${value}"]`
  return { operator: 'eq', field: name.toLowerCase(), value, text }
}

function parseListed(condition: unknown[]): Condition {
  const [operator, first, second] = condition
  if (operator === 'content-length-range' && condition.length === 3) {
    const [min, max] = [first, second].map((bound) => {
      if (!/^\d+$/.test(String(bound))) throw invalid('Invalid JSON: content-length-range must be integers.')
      return Number(bound)
    })
    return { operator, range: { min: min!, max: max! } }
  }
  if (operator !== 'eq' && operator !== 'starts-with')
    throw invalid(`Invalid Condition: unknown operation identifier '${String(operator)}'.`)
  if (condition.length !== 3 || typeof first !== 'string' || typeof second !== 'string' || !first.startsWith('$')) {
    throw invalid('Invalid Condition: wrong number or type of arguments.')
  }
  const text = `["${operator}", "${first}", "${second}"]`
  return { operator, field: first.slice(1).toLowerCase(), value: second, text }
}
