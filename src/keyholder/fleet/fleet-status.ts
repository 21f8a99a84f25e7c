import type { Archive } from '../archive.js'
import { ofOneServer } from '../damage.js'
import { lastDrills } from '../drill/stored-drill.js'
import { inOrder } from '../in-order.js'
import { lastProbe } from '../probe/stored-probe.js'
import { servers, systemIdentifiers } from '../stored-backups.js'
import { lookAtLife, type LookedAtLife } from './life-status.js'
import { cannotBeTold, nothingStored, warningsOf } from './life-warnings.js'
import { worst, type StatusLife, type StatusReport, type StatusWarning } from './status-report.js'
import type { StatusSettings } from './status-settings.js'

export interface FleetQuestion {
  bucket: string
  /** one server, or null for all */
  server: string | null
  /** servers of keyholder.yaml, which should have stored something, and its path */
  known: { file: string; servers: readonly string[] }
  settings: StatusSettings
  exact: boolean
  /** servers to look at at once; of each up to 16 manifests are read at once */
  jobs: number
  now: Date
}

/** Looks at every server of a bucket. Requests grow with servers, backups and dumps, not with WAL. */
export async function fleetStatus(archive: Archive, question: FleetQuestion): Promise<StatusReport> {
  const { server, known, settings, exact, now } = question
  const stored = server === null ? await servers(archive) : [server]
  const told = {
    drilled: await folderNames(archive, '.postbox/drill/'),
    verified: await folderNames(archive, '.postbox/verify/'),
  }
  const lives: StatusLife[] = []
  const look = (one: string) => lookAtServer(archive, one, question, told)
  for await (const found of inOrder(stored, { atOnce: question.jobs }, look)) lives.push(...found)
  const seen = new Set(lives.map((life) => life.server))
  const missing = known.servers.filter((one) => !seen.has(one) && (server === null || server === one))
  lives.push(...missing.map((one) => emptyLife(one, null, nothingStored(known.file))))
  lives.sort((a, b) => (a.server === b.server ? Number(b.current) - Number(a.current) : a.server < b.server ? -1 : 1))
  const { priceGbMonth: price_gb_month, priceThousandRequests: price_thousand_requests, currency } = settings
  return {
    postbox_status: 1,
    created_at: now.toISOString(),
    bucket: question.bucket,
    exact,
    level: worst(lives.map(({ level }) => level)),
    currency,
    price_gb_month,
    price_thousand_requests,
    probe: await lastProbe(archive),
    totals: totalsOf(lives),
    servers: lives,
  }
}

async function folderNames(archive: Archive, prefix: string): Promise<Set<string>> {
  const names = new Set<string>()
  for await (const name of archive.folders(prefix)) names.add(name)
  return names
}

async function lookAtServer(
  archive: Archive,
  server: string,
  { settings, exact, now }: FleetQuestion,
  looked: { drilled: ReadonlySet<string>; verified: ReadonlySet<string> },
): Promise<StatusLife[]> {
  const drills = looked.drilled.has(server) ? await lastDrills(archive, server) : []
  const verified = looked.verified.has(server)
  const lives: LookedAtLife[] = []
  const broken: StatusLife[] = []
  for (const systemIdentifier of await systemIdentifiers(archive, server)) {
    try {
      lives.push(await lookAtLife(archive, { server, systemIdentifier }, { settings, exact, drills, verified, now }))
    } catch (thrown) {
      broken.push(emptyLife(server, systemIdentifier, cannotBeTold(ofOneServer(thrown))))
    }
  }
  // As a restore chooses: the newest finished backup, and where there is none, the newest WAL.
  lives.sort(
    (a, b) => compareTexts(newestBase(b), newestBase(a)) || compareTexts(b.quiet_since ?? '', a.quiet_since ?? ''),
  )
  const told = lives.map(({ suspicions, partings, ...life }, index): StatusLife => {
    if (index > 0) return { ...life, current: false, size: { ...life.size, growth_bytes_per_day: null } }
    const warnings = warningsOf({ ...life, suspicions, partings }, settings)
    return { ...life, warnings, level: worst(warnings.map(({ level }) => level)) }
  })
  return [...told, ...broken.map((life, index) => ({ ...life, current: lives.length === 0 && index === 0 }))]
}

const newestBase = ({ base_backups }: StatusLife): string =>
  base_backups.find(({ state }) => state === 'usable' || state === 'unusable')?.id ?? ''

const compareTexts = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1)

function emptyLife(server: string, system_identifier: string | null, warning: StatusWarning): StatusLife {
  const nothing = {
    bytes: 0,
    base_bytes: 0,
    dump_bytes: 0,
    wal_bytes: 0,
    growth_bytes_per_day: null,
    cost_per_month: 0,
  }
  return {
    server,
    system_identifier,
    current: true,
    level: 'crit',
    warnings: [warning],
    last_base: null,
    last_dump: null,
    window: null,
    windows: [],
    quiet_since: null,
    behind_at_most_seconds: null,
    last_drill: null,
    last_verify: null,
    size: { ...nothing, exact: true },
    base_backups: [],
    dumps: [],
  }
}

function totalsOf(lives: readonly StatusLife[]): StatusReport['totals'] {
  const sum = (of: (life: StatusLife) => number) => lives.reduce((total, life) => total + of(life), 0)
  return {
    servers: new Set(lives.map(({ server }) => server)).size,
    warn: lives.filter(({ level }) => level === 'warn').length,
    crit: lives.filter(({ level }) => level === 'crit').length,
    bytes: sum(({ size }) => size.bytes),
    growth_bytes_per_day: sum(({ size }) => size.growth_bytes_per_day ?? 0),
    cost_per_month: Math.round(sum(({ size }) => size.cost_per_month) * 100) / 100,
  }
}
