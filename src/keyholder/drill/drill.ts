import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DrillResult } from '../../box/drill-result.js'
import { asPostboxError } from '../../errors.js'
import type { Archive } from '../archive.js'
import { prepareRestore } from '../prepare-restore.js'
import { planRestore, type RestorePlan, type RestoreRequest } from '../plan.js'
import { restore } from '../restore.js'
import { formatTarget } from '../target.js'
import type { Owner } from '../write-files.js'
import { amcheck, pageChecksums, runQueries, type DrillCheck } from './checks.js'
import { findPrograms } from './postgres-programs.js'
import { makeHome, ScratchServer } from './scratch-server.js'

export interface DrillOptions {
  request: RestoreRequest
  /** a new folder below it is used and taken away */
  workDir: string
  /** who runs Postgres; null for ourselves */
  owner: Owner
  /** of Postgres's programs; null to look for them */
  programs: string | null
  restoreCommand: (plan: RestorePlan) => string
  queries: readonly string[]
  /** superuser of the restored server, and the database of the queries */
  user: string
  database: string
  settings: readonly string[]
  timeoutSeconds: number
  jobs: number
  /** leave everything there */
  keep: boolean
  signal: AbortSignal
  onPhase: (phase: string) => void
}

/**
 * Restores a backup into a folder of its own, starts it, looks at it, and takes it away again.
 *
 * What goes wrong once a backup was chosen is a result as well, not an error. Throws what planning a restore throws,
 * `postgres_missing`, and `interrupted`.
 */
export async function drill(archive: Archive, options: DrillOptions): Promise<DrillResult> {
  const { request, workDir, owner, signal, onPhase } = options
  const startedAt = new Date()
  const scratch = join(workDir, `drill-${startedAt.getTime().toString(36)}`)
  await makeHome(scratch, owner)
  try {
    const dataDir = join(scratch, 'data')
    await makeHome(dataDir, owner)
    onPhase('choosing a backup')
    const plan = await planRestore(archive, request)
    const { backup, home } = plan
    const major = Math.floor(backup.manifest.postgres_version_num / 10000)
    const programs = await findPrograms(major, options.programs)
    const seconds = { restore: 0, recovery: 0 }
    const result = {
      postbox_drill: 1 as const,
      server: home.server,
      system_identifier: home.systemIdentifier,
      backup_id: backup.backupId,
      target: formatTarget(request.target),
      started_at: startedAt.toISOString(),
      postgres_version_num: backup.manifest.postgres_version_num,
    }
    const seen: Seen = { checks: [], notRun: [] }
    let problem: string | null = null
    let restoredBytes = 0
    try {
      onPhase(`restoring backup ${backup.backupId}`)
      const prepared = await prepareRestore(
        archive,
        { ...request, backupId: backup.backupId },
        dataDir,
        placesFor(plan, scratch),
      )
      const restoreCommand = options.restoreCommand(prepared.plan)
      let began = performance.now()
      const onProgress = (_stored: number, raw: number) => (restoredBytes += raw)
      const how = { action: 'promote', restoreCommand, keepSettings: false } as const
      await restore(archive, { ...prepared, ...how, owner, jobs: options.jobs, onProgress })
      seconds.restore = since(began)
      began = performance.now()
      const server = new ScratchServer({ ...options, programs, major, dataDir, home: scratch })
      onPhase('recovering')
      await look(server, options, seen, () => (seconds.recovery = since(began)))
    } catch (thrown) {
      signal.throwIfAborted()
      problem = asPostboxError(thrown).message
    }
    return {
      ...result,
      finished_at: new Date().toISOString(),
      ok: problem === null && seen.checks.every(({ ok }) => ok),
      problem,
      restore_seconds: seconds.restore,
      recovery_seconds: seconds.recovery,
      restored_bytes: restoredBytes,
      checks: problem === null ? seen.checks : [],
      not_run: seen.notRun,
    }
  } finally {
    if (!options.keep) await rm(scratch, { recursive: true, force: true })
  }
}

/** A place of its own for each tablespace: never where the real ones lie. */
function placesFor({ backup }: RestorePlan, scratch: string): Map<string, string> {
  const elsewhere = backup.manifest.archives.filter(
    ({ tablespace, location }) => tablespace !== 'base' && !(location ?? '').startsWith('pg_tblspc/'),
  )
  return new Map(elsewhere.map(({ tablespace }) => [tablespace, join(scratch, `tablespace-${tablespace}`)]))
}

/** What was looked at, and what could not be. */
interface Seen {
  checks: DrillCheck[]
  notRun: string[]
}

async function look(
  server: ScratchServer,
  options: DrillOptions,
  { checks, notRun }: Seen,
  onRecovered: () => void,
): Promise<void> {
  const { user, database, queries, onPhase } = options
  let hasChecksums: boolean
  try {
    await server.recover()
    onRecovered()
    await server.start()
    const client = await server.connect(user, database)
    try {
      const { rows } = await client.query<{ on: string }>(`select current_setting('data_checksums') as on`)
      hasChecksums = rows[0]!.on === 'on'
      onPhase('looking at it')
      checks.push(...(await runQueries(client, queries)))
    } finally {
      await client.end().catch(() => undefined)
    }
    const indexes = await amcheck(server, user, database)
    if (typeof indexes === 'string') notRun.push(indexes)
    else checks.push(indexes)
  } finally {
    await server.stop()
  }
  onPhase('reading every page')
  if (hasChecksums) checks.push(await pageChecksums(server))
  else notRun.push('page checksums: the cluster has none')
}

const since = (began: number): number => Number(((performance.now() - began) / 1000).toFixed(3))
