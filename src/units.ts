import { PostboxError } from './errors.js'

const SECONDS = { s: 1, min: 60, m: 60, h: 3600, d: 86400 } as const
const BYTES = { B: 1, kB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const
const ROUND_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Reads `90s`, `30min`, `12h` or `7d` as seconds. Throws `bad_argument`. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9}) ?(s|min|m|h|d)$/.exec(text)
  const seconds = match && Number(match[1]) * SECONDS[match[2] as keyof typeof SECONDS]
  if (!seconds) {
    throw new PostboxError('bad_argument', `"${text}" is not a length of time`, 'Write it as 90s, 30min, 12h or 7d.')
  }
  return seconds
}

/**
 * Reads `64MiB`, `1 GB` or a plain number as bytes. Throws `bad_argument`.
 *
 * Units are powers of 1024, `MB` as well as `MiB`: so Postgres reads its own settings.
 */
export function parseBytes(text: string): number {
  const match = /^(\d{1,15}) ?(B|kB|MB|GB|KiB|MiB|GiB)?$/.exec(text)
  const bytes = match && Number(match[1]) * BYTES[(match[2] ?? 'B') as keyof typeof BYTES]
  if (!bytes || !Number.isSafeInteger(bytes)) {
    throw new PostboxError('bad_argument', `"${text}" is not a size`, 'Write it as 65536, 64MiB or 1GiB.')
  }
  return bytes
}

/** Seconds as the largest unit that shows them exactly, such as `12h`; fractions are dropped. */
export function formatDuration(seconds: number): string {
  const whole = Math.floor(seconds)
  for (const unit of ['d', 'h', 'min'] as const) {
    if (whole >= SECONDS[unit] && whole % SECONDS[unit] === 0) return `${whole / SECONDS[unit]}${unit}`
  }
  return `${whole}s`
}

/** Bytes as the largest unit that shows them exactly, such as `64MiB`. */
export function formatBytes(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB'] as const) {
    if (bytes >= BYTES[unit] && bytes % BYTES[unit] === 0) return `${bytes / BYTES[unit]}${unit}`
  }
  return `${bytes}B`
}

/** A size for people, with three digits or so: `1.95 GiB`. */
export function roundBytes(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (value >= 1000 && unit < ROUND_UNITS.length - 1) [value, unit] = [value / 1024, unit + 1]
  const digits = unit === 0 ? 0 : Math.max(0, 3 - String(Math.floor(value)).length)
  return `${value.toFixed(digits)} ${ROUND_UNITS[unit]!}`
}

/** Seconds for people, in two units at the most: `45 s`, `12 min`, `5 h 20 min`, `3 d 4 h`. */
export function formatAge(seconds: number): string {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.round(whole / 60)
  if (minutes < 60) return `${minutes} min`
  const [big, small, bigUnit, smallUnit] =
    minutes < 48 * 60
      ? ([Math.floor(minutes / 60), minutes % 60, 'h', 'min'] as const)
      : ([Math.floor(minutes / 1440), Math.floor((minutes % 1440) / 60), 'd', 'h'] as const)
  return small === 0 ? `${big} ${bigUnit}` : `${big} ${bigUnit} ${small} ${smallUnit}`
}
