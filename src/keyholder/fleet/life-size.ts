import type { LifeItem } from './life-items.js'
import type { LifeWal, TimelineExtent } from './life-wal.js'
import type { StatusSettings } from './status-settings.js'
import type { StatusSize } from './status-report.js'

const DAY_MS = 86_400_000
/** A rate is taken from the last week, or as much of it as there is. */
const PERIOD_MS = 7 * DAY_MS
/** Less than that tells nothing of a day. */
const LEAST_MS = DAY_MS / 24
const GB = 1024 ** 3
const DAYS_OF_MONTH = 365.25 / 12
/** A worker posts a tail every second, at most. */
const MOST_TAILS_PER_DAY = 86_400

/** What was counted by listing everything. */
export interface CountedBytes {
  base: number
  dump: number
  wal: number
}

/** What a life stores, adds each day, and costs. `counted`: null where it is to be estimated. */
export function lifeSize(
  items: { bases: readonly LifeItem[]; dumps: readonly LifeItem[] },
  wal: LifeWal,
  counted: CountedBytes | null,
  prices: StatusSettings,
  now: Date,
): StatusSize {
  const { bases, dumps } = items
  const sum = (of: readonly LifeItem[]) => of.reduce((total, { storedBytes }) => total + storedBytes, 0)
  const base_bytes = counted?.base ?? sum(bases)
  const dump_bytes = counted?.dump ?? sum(dumps)
  const wal_bytes = counted?.wal ?? Math.round(wal.timelines.reduce((total, one) => total + bytesOf(one), 0))
  const bytes = base_bytes + dump_bytes + wal_bytes
  const each = walPerDay(bases, wal, now)
  const added = each && itemsPerDay([...bases, ...dumps], each.since, now)
  const growth_bytes_per_day = each && added ? Math.round(each.bytes + added.bytes) : null
  const requests = each && added ? (each.objects + added.objects) * DAYS_OF_MONTH : 0
  const cost_per_month = (bytes / GB) * prices.priceGbMonth + (requests / 1000) * prices.priceThousandRequests
  return {
    bytes,
    base_bytes,
    dump_bytes,
    wal_bytes,
    exact: counted !== null,
    growth_bytes_per_day,
    cost_per_month: Math.round(cost_per_month * 10_000) / 10_000,
  }
}

const bytesOf = ({ segments, tails }: TimelineExtent): number => (segments?.bytes ?? 0) + (tails?.bytes ?? 0)

interface PerDay {
  bytes: number
  objects: number
}

/** Bytes of WAL between a backup of about a week ago and now, at the rate at which the newest ones are compressed. */
function walPerDay(bases: readonly LifeItem[], wal: LifeWal, now: Date): (PerDay & { since: Date }) | null {
  const { current } = wal
  if (!current) return null
  const committed = bases.filter(({ place }) => place !== null)
  const old = committed.find(({ at }) => now.getTime() - at.getTime() >= PERIOD_MS) ?? committed.at(-1)
  const since = old?.at ?? null
  if (!old?.place || !since || now.getTime() - since.getTime() < LEAST_MS) return null
  const days = (now.getTime() - since.getTime()) / DAY_MS
  const raw = Math.max(0, Number(current.runs.at(-1)!.to - old.place.startLsn)) / days
  const { segments, tails } = current
  const tailsPerDay = Math.min(raw * (tails?.perByte.objects ?? 0), MOST_TAILS_PER_DAY)
  return {
    since,
    bytes: raw * ((segments?.ratio ?? 0) + (tails?.perByte.bytes ?? 0)),
    objects: raw / wal.segmentBytes + tailsPerDay,
  }
}

function itemsPerDay(items: readonly LifeItem[], since: Date, now: Date): PerDay {
  const days = (now.getTime() - since.getTime()) / DAY_MS
  // Without the first, at which the time begins: as many intervals as backups behind it.
  const added = items.filter(({ at }) => at > since)
  return {
    bytes: added.reduce((sum, { storedBytes }) => sum + storedBytes, 0) / days,
    objects: added.reduce((sum, { objects }) => sum + objects, 0) / days,
  }
}
