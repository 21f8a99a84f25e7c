/** From when to when a timeline goes, in milliseconds from 1970. */
export interface TimeRange {
  from: number
  to: number
}

/** A moment that an axis names. */
export interface Tick {
  at: number
  label: string
  /** in front of the label where a new year, or among hours a new day, begins */
  isMajor: boolean
}

const HOUR = 3_600_000
const DAY = 24 * HOUR
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const STEPS = [HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 4 * DAY, 7 * DAY, 14 * DAY] as const
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120] as const
const MOST = 9

/** Where a moment lies in a range, in percent of its width. */
export function percent({ from, to }: TimeRange, at: number): number {
  return Math.round(Math.min(1, Math.max(0, (at - from) / (to - from))) * 100_000) / 1000
}

/** Round moments of a range in UTC, nine at the most. */
export function ticks(range: TimeRange): Tick[] {
  const span = range.to - range.from
  const step = STEPS.find((one) => span / one <= MOST)
  return step === undefined ? monthTicks(range) : stepTicks(range, step)
}

function stepTicks({ from, to }: TimeRange, step: number): Tick[] {
  const found: Tick[] = []
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    const time = new Date(at)
    const day = `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]!}`
    const isMidnight = at % DAY === 0
    const label = isMidnight ? day : `${String(time.getUTCHours()).padStart(2, '0')}:00`
    found.push({ at, label, isMajor: step < DAY ? isMidnight : found.length % 2 === 0 })
  }
  return found
}

function monthTicks({ from, to }: TimeRange): Tick[] {
  const months = (at: number) => new Date(at).getUTCFullYear() * 12 + new Date(at).getUTCMonth()
  const step = MONTH_STEPS.find((one) => (months(to) - months(from)) / one <= MOST) ?? 240
  const found: Tick[] = []
  for (let month = Math.ceil(months(from) / step) * step; month <= months(to); month += step) {
    const at = Date.UTC(Math.floor(month / 12), month % 12)
    if (at < from || at > to) continue
    const year = String(Math.floor(month / 12))
    const label = step >= 12 ? year : `${MONTHS[month % 12]!} ${year}`
    found.push({ at, label, isMajor: found.length % 2 === 0 })
  }
  return found
}
