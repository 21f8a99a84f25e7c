import type { Manifest } from '../box/manifest.js'
import { PostboxError } from '../errors.js'
import { formatLsn, parseLsn, type Lsn } from '../wal/lsn.js'
import type { RestoreRequest } from './plan.js'
import { formatTarget, formatTime, type Target } from './target.js'
import type { WalMap } from './wal-map.js'
import type { Route } from './wal-route.js'

/** What recovery will stop at. */
interface End {
  target: Target
  lastCommitMicros: bigint | null
}

/**
 * Proves that Postgres will see its target in the WAL of the route. Throws `target_unreachable`.
 *
 * `notes`: what cannot be told beforehand is added to them.
 */
export async function checkReachable(
  wal: WalMap,
  route: Route,
  manifest: Manifest,
  request: RestoreRequest,
  notes: string[],
): Promise<End> {
  const { target, inclusive } = request
  const stopLsn = parseLsn(manifest.stop_lsn)
  const gap = gapBehind(route)
  const nextRun = gap === null ? '' : `; the WAL from there to ${formatLsn(gap)} is missing`
  switch (target.kind) {
    case 'latest':
      if (gap !== null) notes.push(`recovery ends at ${formatLsn(route.end)}${nextRun}`)
      return { target, lastCommitMicros: await lastCommitForShow(wal, route, stopLsn, notes) }
    case 'time':
      return checkTime(wal, route, manifest, target, inclusive, nextRun)
    case 'lsn':
      if (target.lsn >= route.end || !(await wal.hasRecordAt(route, target.lsn))) {
        const end = formatLsn(route.end)
        throw unreachable(target, `is beyond the stored WAL, which ends at ${end}${nextRun}${damaged(wal)}`)
      }
      return { target, lastCommitMicros: null }
    case 'xid':
    case 'name':
      notes.push(
        `whether ${formatTarget(target)} comes after this backup and before ${formatLsn(route.end)} cannot be told ` +
          'from the archive; if it does not, Postgres ends recovery with an error: then name an older --backup',
      )
      return { target, lastCommitMicros: null }
    case 'immediate':
      return { target: await soonest(wal, route, stopLsn), lastCommitMicros: null }
  }
}

/** The same as a question. */
export async function reaches(
  wal: WalMap,
  route: Route,
  manifest: Manifest,
  request: RestoreRequest,
): Promise<boolean> {
  try {
    await checkReachable(wal, route, manifest, request, [])
    return true
  } catch (thrown) {
    if (thrown instanceof PostboxError && thrown.code === 'target_unreachable') return false
    throw thrown
  }
}

/** Postgres looks whether it is consistent before it takes the next record, so that there must be one. */
async function soonest(wal: WalMap, route: Route, stopLsn: Lsn): Promise<Target> {
  const far = route.end - stopLsn >= BigInt(wal.segmentBytes)
  const goesOn = far || (route.end > stopLsn && (await wal.hasRecordAt(route, stopLsn)))
  return { kind: goesOn ? 'immediate' : 'latest' }
}

/** Postgres stops at the first commit after the time (at it, when exclusive): there must be one. */
async function checkTime(
  wal: WalMap,
  route: Route,
  manifest: Manifest,
  target: Target & { kind: 'time' },
  inclusive: boolean,
  nextRun: string,
): Promise<End> {
  const last = await wal.lastCommitSince(route, parseLsn(manifest.stop_lsn), target.micros)
  if (last === null) {
    const none = `is after backup ${manifest.backup_id}, and nothing is stored that was committed later`
    throw unreachable(target, none + damaged(wal))
  }
  if (target.micros > last) {
    throw unreachable(target, `is after the last stored commit, of ${formatTime(last)}${nextRun}${damaged(wal)}`)
  }
  // Everything up to the last commit is everything; but no later commit would tell Postgres so.
  const everything = inclusive && target.micros === last
  return { target: everything ? { kind: 'latest' } : target, lastCommitMicros: last }
}

/** Knowing it is pleasant, not needed: a damaged segment is recovery's matter then. */
async function lastCommitForShow(wal: WalMap, route: Route, stopLsn: Lsn, notes: string[]): Promise<bigint | null> {
  try {
    return await wal.lastCommit(route, stopLsn)
  } catch (thrown) {
    if (!(thrown instanceof PostboxError) || thrown.retryable) throw thrown
    notes.push(thrown.message)
    return null
  }
}

const damaged = ({ problems }: WalMap): string => problems.map((one) => `; ${one}`).join('')

/** Where the WAL goes on behind a gap on the route's last timeline, or null when it does not. */
function gapBehind(route: Route): Lsn | null {
  return route.runs.get(route.target)?.find((run) => run.from > route.end)?.from ?? null
}

function unreachable(target: Target, why: string): PostboxError {
  return new PostboxError(
    'target_unreachable',
    `${formatTarget(target)} ${why}`,
    'Use --target latest to recover everything that is stored.',
  )
}
