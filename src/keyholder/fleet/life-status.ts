import { homePrefix, type Home } from '../../box/key-names.js'
import type { DrillResult } from '../../box/drill-result.js'
import { parseLsn } from '../../wal/lsn.js'
import type { Archive } from '../archive.js'
import { accountOf } from '../key-account.js'
import { listHome } from '../list-server.js'
import { firstSegmentBytes } from '../stored-backups.js'
import { lastVerify, type VerifyResult } from '../verify/stored-verify.js'
import { lifeBackups, lifeDumps, type LifeItem } from './life-items.js'
import { lifeSize, type CountedBytes } from './life-size.js'
import { LifeWal, type KnownGaps } from './life-wal.js'
import { listedWindows, reachAll, windowsOf } from './life-windows.js'
import type { StatusItem, StatusLife, StatusWindow } from './status-report.js'
import type { StatusSettings } from './status-settings.js'

const STANDARD_SEGMENT_BYTES = 16 * 1024 * 1024

export interface LifeQuestion {
  settings: StatusSettings
  /** list every name instead of estimating */
  exact: boolean
  /** the newest drill of each of the server's lives */
  drills: readonly DrillResult[]
  /** whether any life of the server was verified: saves a request for those that never were */
  verified: boolean
  now: Date
}

/** A life without a word on what is wrong with it, and for that word what manifests and names of WAL said. */
export type LookedAtLife = StatusLife & { suspicions: string[]; partings: string[] }

/** Looks at one life of a server. Requests grow with backups and dumps, not with WAL, unless all of it is to be exact. */
export async function lookAtLife(archive: Archive, home: Home, question: LifeQuestion): Promise<LookedAtLife> {
  const { settings, exact, now } = question
  const bases = await lifeBackups(archive, home)
  const dumps = await lifeDumps(archive, home)
  const verified = question.verified ? await lastVerify(archive, home) : null
  const segmentBytes = firstSegmentBytes(bases) ?? STANDARD_SEGMENT_BYTES
  const wal = await LifeWal.look(archive, home, segmentBytes, gapsOf(verified), true)
  const { windows, usable } = exact ? await listed(archive, home) : await reached(bases, wal, verified)
  const counted = exact ? await countBytes(archive, home) : null
  const [base_backups, dumpItems] = [bases.map(itemOf(now, usable)), dumps.map(itemOf(now, null))]
  const newest = wal.current?.newest.object.storedAt ?? null
  const last = windows.at(-1)
  return {
    server: home.server,
    system_identifier: home.systemIdentifier,
    current: true,
    level: 'ok',
    warnings: [],
    last_base: base_backups.find(({ state }) => state === 'usable') ?? null,
    last_dump: dumpItems.find(({ state }) => state === 'usable') ?? null,
    window: last && last.timeline === wal.current?.timeline && isLast(last, wal) ? last : null,
    windows,
    quiet_since: newest?.toISOString() ?? null,
    behind_at_most_seconds: newest && age(newest, now),
    last_drill: drillOf(question.drills, home, now),
    last_verify: verifyOf(verified, now),
    size: lifeSize({ bases, dumps }, wal, counted, settings, now),
    base_backups,
    dumps: dumpItems,
    suspicions: [...bases, ...dumps].flatMap(({ id, suspicions }) => suspicions.map((one) => `${id}: ${one}`)),
    partings: wal.partings,
  }
}

const age = (at: Date, now: Date): number => Math.max(0, Math.round((now.getTime() - at.getTime()) / 1000))

/** Whether nothing is stored behind a window. */
const isLast = ({ to_lsn }: StatusWindow, wal: LifeWal): boolean => parseLsn(to_lsn) >= wal.current!.runs.at(-1)!.to

/** What an earlier look at all names found missing. */
export function gapsOf(verified: VerifyResult | null): KnownGaps {
  const gaps = new Map<number, { from: bigint; to: bigint }[]>()
  for (const { timeline, from_lsn, to_lsn } of verified?.wal_gaps ?? []) {
    gaps.set(timeline, [...(gaps.get(timeline) ?? []), { from: parseLsn(from_lsn), to: parseLsn(to_lsn) }])
  }
  return gaps
}

interface Windows {
  windows: StatusWindow[]
  /** ids of base backups that can be restored */
  usable: ReadonlySet<string>
}

async function reached(bases: readonly LifeItem[], wal: LifeWal, verified: VerifyResult | null): Promise<Windows> {
  const found = await reachAll(bases, wal)
  const usable = new Set(found.filter(({ reach }) => reach !== null).map(({ item }) => item.id))
  return { windows: windowsOf(found, wal, verified), usable }
}

async function listed(archive: Archive, home: Home): Promise<Windows> {
  const found = await listHome(archive, home)
  const usable = found.backups.filter(({ state }) => state === 'restorable').map(({ backup_id }) => backup_id)
  return { windows: listedWindows(found), usable: new Set(usable) }
}

async function countBytes(archive: Archive, home: Home): Promise<CountedBytes> {
  const counted = { base: 0, dump: 0, wal: 0 }
  for await (const { key, bytes } of archive.list(homePrefix(home))) {
    const kind = accountOf(home, key)?.kind
    counted[kind === 'base' || kind === 'dump' ? kind : 'wal'] += bytes
  }
  return counted
}

/** `usable`: null for dumps, which need nothing else. */
function itemOf(now: Date, usable: ReadonlySet<string> | null): (item: LifeItem) => StatusItem {
  return (item) => {
    const { id, state, label, database, at, stoppedAt } = item
    const can = usable === null || usable.has(id)
    const seconds = stoppedAt && Math.round((stoppedAt.getTime() - at.getTime()) / 1000)
    return {
      id,
      label,
      state: state === 'committed' ? (can ? 'usable' : 'unusable') : state,
      database,
      at: at.toISOString(),
      age_seconds: age(at, now),
      // Of a standby that was behind, the end may lie before the beginning.
      duration_seconds: seconds !== null && seconds >= 0 ? seconds : null,
      stored_bytes: item.storedBytes,
      raw_bytes: item.rawBytes,
    }
  }
}

function drillOf(drills: readonly DrillResult[], home: Home, now: Date): StatusLife['last_drill'] {
  const drill = drills.find((one) => one.system_identifier === home.systemIdentifier)
  if (!drill) return null
  const { finished_at, ok, backup_id, problem, checks } = drill
  const failed = checks.find((one) => !one.ok)
  const why = ok ? null : (problem ?? (failed ? `${failed.name}: ${failed.seen}` : null))
  return { finished_at, age_seconds: age(new Date(finished_at), now), ok, backup_id, problem: why }
}

function verifyOf(verified: VerifyResult | null, now: Date): StatusLife['last_verify'] {
  if (!verified) return null
  const { verified_at, ok, deep, problem } = verified
  return { verified_at, age_seconds: age(new Date(verified_at), now), ok, deep, problem }
}
