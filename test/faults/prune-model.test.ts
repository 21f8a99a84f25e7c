import type { S3Client } from '@aws-sdk/client-s3'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { homePrefix } from '../../src/box/key-names.js'
import { PostboxError } from '../../src/errors.js'
import { locateParts } from '../../src/keyholder/fetch-parts.js'
import { planRestore, type RestoreRequest } from '../../src/keyholder/plan.js'
import { openDeletableArchive, type DeletableArchive } from '../../src/keyholder/prune/deletable-archive.js'
import { prune } from '../../src/keyholder/prune/prune.js'
import type { PruneReport, ReportedDecision } from '../../src/keyholder/prune/prune-report.js'
import type { Retention } from '../../src/keyholder/prune/retention-schema.js'
import { backups } from '../../src/keyholder/stored-backups.js'
import { microsOf, type TargetTimeline } from '../../src/keyholder/target.js'
import { parseSegmentName } from '../../src/wal/segment.js'
import { parseSegmentKey } from '../../src/box/key-names.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'
import { idsOf, mustStay } from './must-stay.js'
import { happening, ServerHistory, type Happening, type MadeBackup } from './server-history.js'

let s3: LocalS3
let client: S3Client
let archive: DeletableArchive
let minutes = 0
let count = 0

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  client = sdkClient(s3)
  archive = openDeletableArchive(client, 'b', { patienceMs: 1 })
})

afterAll(async () => {
  client.destroy()
  await s3.close()
})

const HISTORIES = 4
const DAY = 86_400

const some = fc.integer({ min: 0, max: 3 })
const retention: fc.Arbitrary<Retention> = fc
  .record({
    last: fc.integer({ min: 1, max: 4 }),
    forDays: fc.integer({ min: 1, max: 6 }),
    days: some,
    weeks: some,
    windowDays: fc.option(fc.integer({ min: 1, max: 10 })),
  })
  .map(({ last, forDays, days, weeks, windowDays }) => ({
    backups: { last, forSeconds: forDays * DAY, days, weeks, months: 0, years: 0, hold: [] },
    dumps: { last: 1, forSeconds: DAY, days, weeks: 0, months: 0, years: 0, hold: [] },
    pointInTimeSeconds: windowDays === null ? null : windowDays * DAY,
    incompleteAfterSeconds: 7 * DAY,
  }))

const rounds = fc.array(
  fc.record({
    happenings: fc.array(happening, { minLength: 4, maxLength: 14 }),
    retention,
    /** the deletion at which the run is interrupted */
    interruptedAt: fc.option(fc.integer({ min: 1, max: 12 })),
    /** a backup on hold, and one whose manifest cannot be read meanwhile */
    held: fc.option(fc.nat(20)),
    unreadable: fc.option(fc.nat(20)),
  }),
  { minLength: 2, maxLength: 4 },
)

test('whatever happens to a server and whatever its retention, all that is promised can be restored after a prune', async () => {
  const property = fc.asyncProperty(rounds, async (all) => {
    const history = begin()
    for (const { happenings, ...how } of all) {
      for (const one of happenings as Happening[]) history.happen(one)
      await pruneAndCheck(history, how)
    }
  })
  await fc.assert(property, { numRuns: HISTORIES, endOnFailure: true })
})

function begin(): ServerHistory {
  const now = new Date(Math.floor(Date.now() / 60_000) * 60_000 + minutes * 60_000)
  return new ServerHistory(s3.bucket('b'), `db${++count}`, now, (ms) => {
    minutes += ms / 60_000
    s3.shiftClock(minutes)
    client.config.systemClockOffset = minutes * 60_000
  })
}

interface Round {
  retention: Retention
  interruptedAt: number | null
  held: number | null
  unreadable: number | null
}

async function pruneAndCheck(history: ServerHistory, round: Round): Promise<void> {
  const { server } = history
  const hint = history.lives.some(({ home }) => s3.bucket('b').keys(homePrefix(home)).length > 0)
  if (!hint) return
  const stored = history.backups.filter((one) => history.manifestsOf(one).length > 0)
  const pick = (which: number | null) => (which === null ? null : (stored[which % stored.length] ?? null))
  const [held, unreadable] = [pick(round.held), pick(round.unreadable)]
  const rules = withHold(round.retention, held)
  const must = mustStay(stored, rules, history.now, unreadable)
  const promised = await promises(history, stored, must, rules)
  const request = { server, retention: rules, drop: [] }
  /** Prunes, while the manifests of one cannot be read. */
  const run = async (confirm: boolean) => {
    const manifests = unreadable ? history.manifestsOf(unreadable) : []
    for (const key of manifests) s3.bucket('b').corrupt(key)
    try {
      return await prune(archive, { ...request, confirm })
    } finally {
      for (const key of manifests) s3.bucket('b').corrupt(key)
    }
  }
  const foretold = await run(false)
  const stop = round.interruptedAt
    ? s3.fail({ op: 'DeleteObject', nth: round.interruptedAt, times: 99, fault: { kind: 'status', status: 400 } })
    : null
  const done = await run(true).catch((error: unknown) => error as PostboxError)
  stop?.()
  const wasInterrupted = done instanceof Error
  if (done instanceof Error) {
    if (done.code !== 'archive_refused') throw done
    await nothingHalf(history)
    await kept(promised)
    await run(true)
  }
  await nothingHalf(history)
  await kept(promised)
  const left = idsOf(stored.filter((one) => history.manifestsOf(one).length > 0))
  // What a drill had proved may be gone when a second run decides, which then keeps more.
  if (rules.pointInTimeSeconds === null && !wasInterrupted) expect(left).toEqual(idsOf(must))
  else expect(left).toEqual(expect.arrayContaining(idsOf(must)))
  nothingInFront(history, foretold)
  const again = await run(false)
  expect(again.totals.delete_objects).toBe(0)
}

function withHold(rules: Retention, held: MadeBackup | null): Retention {
  return held ? { ...rules, backups: { ...rules.backups!, hold: [held.id] } } : rules
}

/** A restore, and how far it goes. */
interface Promised {
  request: RestoreRequest
  timeline: number
  reachable: bigint
}

/** What can be restored now and must be restorable then: by this code, not by prune's. */
async function promises(
  history: ServerHistory,
  stored: readonly MadeBackup[],
  must: readonly MadeBackup[],
  rules: Retention,
): Promise<Promised[]> {
  const window = rules.pointInTimeSeconds
  const since = window === null ? null : history.now.getTime() - window * 1000
  const found: Promised[] = []
  for (const one of must) {
    const of = { systemIdentifier: one.home.systemIdentifier, backupId: one.id }
    await add(found, { ...of, target: { kind: 'immediate' }, timeline: 'current' })
    // Of what lies before the window only its own WAL is promised.
    if (since !== null && one.storedAt.getTime() < since) continue
    for (const timeline of timelinesOf(history, of.systemIdentifier, 0)) {
      await add(found, { ...of, target: { kind: 'latest' }, timeline })
    }
  }
  if (since === null) return found
  const times = history.commits.filter((at) => at.getTime() >= since)
  for (const systemIdentifier of new Set(stored.map(({ home }) => home.systemIdentifier))) {
    for (const at of times.filter((_, index) => index % 2 === 0)) {
      for (const timeline of timelinesOf(history, systemIdentifier, since)) {
        const target = { kind: 'time' as const, micros: microsOf(at) }
        await add(found, { systemIdentifier, backupId: null, target, timeline })
      }
    }
  }
  return found

  async function add(
    to: Promised[],
    more: Pick<RestoreRequest, 'systemIdentifier' | 'backupId' | 'target' | 'timeline'>,
  ) {
    const request = { server: history.server, inclusive: true, ...more }
    const plan = await planRestore(archive, request).catch(unreachable)
    if (plan) to.push({ request, timeline: plan.timeline, reachable: plan.reachableLsn })
  }
}

/** Timelines whose WAL was stored since then. */
function timelinesOf(history: ServerHistory, systemIdentifier: string, since: number): TargetTimeline[] {
  const bucket = s3.bucket('b')
  const prefix = homePrefix({ server: history.server, systemIdentifier })
  const keys = bucket.keys(prefix).filter((key) => /\/(wal|tail)\/[0-9A-F]{8}\//.test(key))
  const recent = keys.filter((key) => bucket.versions(key).at(-1)!.storedAt.getTime() >= since)
  return [...new Set(recent.map((key) => Number.parseInt(/\/(?:wal|tail)\/([0-9A-F]{8})\//.exec(key)![1]!, 16)))]
}

function unreachable(thrown: unknown): null {
  const codes = ['target_unreachable', 'wal_missing', 'backup_missing']
  if (thrown instanceof PostboxError && codes.includes(thrown.code)) return null
  throw thrown
}

async function kept(promised: readonly Promised[]): Promise<void> {
  for (const { request, timeline, reachable } of promised) {
    const plan = await planRestore(archive, request)
    const isImmediate = request.target.kind === 'immediate'
    expect({ ...request, timeline: plan.timeline }).toEqual({ ...request, timeline })
    if (!isImmediate) expect({ ...request, reachable: plan.reachableLsn }).toEqual({ ...request, reachable })
  }
}

/** Whatever has a manifest has all its parts. */
async function nothingHalf({ lives }: ServerHistory): Promise<void> {
  for (const { home } of lives) {
    for await (const backup of backups(archive, home)) {
      if (backup.state === 'committed') await locateParts(archive, home, backup.manifest)
    }
  }
}

/** WAL in front of the oldest kept backup is gone, unless it is a day old or a backup may be being written. */
function nothingInFront(history: ServerHistory, report: PruneReport): void {
  const bucket = s3.bucket('b')
  for (const { system_identifier, decisions, kept_wal } of report.lives) {
    const keptOnes = decisions.filter(({ kind, action }) => kind === 'base' && action === 'keep')
    const isUnplaced = ({ state, because }: ReportedDecision) =>
      state === 'incomplete' || because.includes('no manifest of it can be trusted')
    if (keptOnes.length === 0 || keptOnes.some(isUnplaced)) continue
    const oldest = kept_wal
      .map(({ from_lsn }) => Number.parseInt(from_lsn.split('/')[1]!, 16))
      .sort((a, b) => a - b)[0]!
    for (const key of bucket.keys(homePrefix({ server: history.server, systemIdentifier: system_identifier }))) {
      const segment = parseSegmentKey(key)
      if (!segment || bucket.versions(key)[0]!.storedAt.getTime() > history.now.getTime() - DAY * 1000) continue
      expect(Number(parseSegmentName(segment.name, 1024 * 1024).start)).toBeGreaterThanOrEqual(oldest)
    }
  }
}
