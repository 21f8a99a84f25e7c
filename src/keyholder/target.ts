import { PostboxError } from '../errors.js'
import { formatLsn, parseLsn, type Lsn } from '../wal/lsn.js'

/** Where recovery is to stop. */
export type Target =
  | { kind: 'latest' }
  | { kind: 'immediate' }
  /** microseconds from 1970, as exact as Postgres's own clock */
  | { kind: 'time'; micros: bigint }
  | { kind: 'lsn'; lsn: Lsn }
  | { kind: 'xid'; xid: string }
  | { kind: 'name'; name: string }

/** Which timeline recovery ends on: the highest that can be reached, the backup's own, or one by its number. */
export type TargetTimeline = 'latest' | 'current' | number

const FORMS = 'Use latest, immediate, time=2026-11-22T10:00:00Z, lsn=0/16B3748, xid=1234 or name=before_upgrade.'
const TIME = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)? ?(Z|UTC|[+-]\d\d(?::?\d\d)?)$/i
/** MAXFNAMELEN in Postgres, less its closing zero. */
const MAX_NAME_BYTES = 62

/** Reads the argument of `--target`. Throws `bad_argument`. */
export function parseTarget(text: string): Target {
  if (text === 'latest' || text === 'immediate') return { kind: text }
  const [, kind, value] = /^(time|lsn|xid|name)=(.+)$/s.exec(text) ?? []
  switch (kind) {
    case 'time':
      return { kind, micros: parseTime(value!) }
    case 'lsn':
      return { kind, lsn: parseLsn(value!) }
    case 'xid':
      if (!/^[1-9]\d{0,18}$/.test(value!)) throw bad(`"${value!}" is not a transaction id`, FORMS)
      return { kind, xid: value! }
    case 'name':
      if (Buffer.byteLength(value!) > MAX_NAME_BYTES) {
        throw bad(`the name of a restore point has at most ${MAX_NAME_BYTES} bytes`, FORMS)
      }
      return { kind, name: value! }
    default:
      throw bad(`"${text}" is not a target`, FORMS)
  }
}

/** Reads the argument of `--target-timeline`. Throws `bad_argument`. */
export function parseTargetTimeline(text: string): TargetTimeline {
  if (text === 'latest' || text === 'current') return text
  // 0x because the bare digits of a file name, such as 00000010, would be read in tens.
  const timeline = /^([1-9]\d{0,9}|0x[0-9a-f]{1,8})$/i.test(text) ? Number(text) : 0
  if (timeline === 0 || timeline > 0xffffffff) {
    throw bad(
      `"${text}" is not a timeline`,
      'Use latest, current, or its number: in tens, or as in file names with 0x.',
    )
  }
  return timeline
}

/** Reads a time with its zone, to the microsecond. Throws `bad_argument`. */
export function parseTime(text: string): bigint {
  const match = TIME.exec(text.trim())
  if (!match) {
    const hint = 'Write it with its zone, such as 2026-11-22T10:00:00Z or 2026-11-22 11:00:00.25+01.'
    throw bad(`"${text}" is not a time with a zone`, hint)
  }
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second))
  // Date takes 31 February for 3 March.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) {
    throw bad(`there is no time "${text}"`, 'Check day, hour and minute.')
  }
  const fraction = BigInt((match[7] ?? '').padEnd(6, '0'))
  return BigInt(date.getTime()) * 1000n + fraction - BigInt(offsetMinutes(match[8]!)) * 60_000_000n
}

/** A time in full, in UTC: `2026-11-22T10:00:00.123456Z`. */
export function formatTime(micros: bigint): string {
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = new Date(Number((micros - fraction) / 1000n)).toISOString().slice(0, 19)
  return `${seconds}.${String(fraction).padStart(6, '0')}Z`
}

export const microsOf = (date: Date): bigint => BigInt(date.getTime()) * 1000n

/** As it stands in messages: the form that parseTarget() reads. */
export function formatTarget(target: Target): string {
  switch (target.kind) {
    case 'time':
      return `time=${formatTime(target.micros)}`
    case 'lsn':
      return `lsn=${formatLsn(target.lsn)}`
    case 'xid':
      return `xid=${target.xid}`
    case 'name':
      return `name=${target.name}`
    default:
      return target.kind
  }
}

function offsetMinutes(zone: string): number {
  if (/^(Z|UTC)$/i.test(zone)) return 0
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3).replace(':', '') || 0)
  return zone.startsWith('-') ? -minutes : minutes
}

function bad(message: string, hint: string): PostboxError {
  return new PostboxError('bad_argument', message, hint)
}
