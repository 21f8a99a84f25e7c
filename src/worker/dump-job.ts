import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { formatDumpManifest, type DumpManifest } from '../box/dump-manifest.js'
import { dumpManifestKey, formatBackupId } from '../box/key-names.js'
import type { PartEntry } from '../box/manifest.js'
import { createPart } from '../box/part.js'
import type { DumpJob } from '../catalog/catalog.js'
import { PostboxError } from '../errors.js'
import { pageRanges } from '../source/copy-out.js'
import { DUMP_APPLICATION_NAME, dumpError, lockTables, openDumpSession } from '../source/dump-session.js'
import { findPgDump, startPgDump, type Section } from '../source/pg-dump.js'
import { partSizes, type BaseBackupContext, type JobSignals } from './base-backup-job.js'
import { DumpCopy, type DumpedTable, type Slice } from './dump-copy.js'
import { jobCanceled } from './job-canceled.js'
import type { JobProgress } from './job-progress.js'
import { PartUploader } from './part-uploader.js'

const SECTIONS: readonly Section[] = ['pre-data', 'data', 'post-data']

/** What the first session says of the moment that is dumped. */
interface Moment {
  snapshot: string
  lsn: string
  at: string
  version: string
  database: string
}

/**
 * Stores one dump: definitions, rows, then the manifest that commits it. A run that ends early leaves parts that no
 * manifest names, and no session.
 */
export async function runDump(
  job: DumpJob,
  context: BaseBackupContext,
  progress: JobProgress,
  { signal: canceled, workerSignal }: JobSignals,
): Promise<void> {
  const { settings, catalog, databaseUrl } = context
  const ending = new AbortController()
  const limit = setTimeout(() => ending.abort(tooLong()), Math.min(settings.dump_max_duration * 1000, 2 ** 31 - 1))
  const signal = AbortSignal.any([canceled, ending.signal])
  const sessions: pg.Client[] = []
  const open = async (snapshot: string | null) => {
    const session = await openDumpSession(databaseUrl, snapshot)
    sessions.push(session)
    signal.throwIfAborted()
    return session
  }
  const close = () => {
    for (const session of sessions) {
      ;(session as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
      // A session that sends nothing for a while would not notice.
      void catalog
        .endProcess((session as unknown as { processID: number }).processID, DUMP_APPLICATION_NAME)
        .catch(() => undefined)
    }
  }
  signal.addEventListener('abort', close, { once: true })
  try {
    const manifest = await dump(job, context, progress, open, signal)
    progress.enter('committing')
    await progress.stop()
    if (await catalog.isCancelRequested(job.job_id)) throw jobCanceled(job.job_id)
    signal.throwIfAborted()
    await commit(job, manifest, context, workerSignal)
  } catch (thrown) {
    ending.abort(thrown)
    // What fails because its session was closed has failed because of the abort.
    canceled.throwIfAborted()
    throw dumpError('the database', ending.signal.reason)
  } finally {
    clearTimeout(limit)
    signal.removeEventListener('abort', close)
    await Promise.all(sessions.map((session) => session.end().catch(() => undefined)))
  }
}

function tooLong(): PostboxError {
  return new PostboxError(
    'dump_too_long',
    'the dump took longer than dump_max_duration',
    'Its snapshot held back vacuum: dump less at once, or raise the setting.',
  )
}

async function dump(
  job: DumpJob,
  context: BaseBackupContext,
  progress: JobProgress,
  open: (snapshot: string | null) => Promise<pg.Client>,
  signal: AbortSignal,
): Promise<DumpManifest> {
  const { settings, catalog, box, threads, databaseUrl, log } = context
  const { label, tables: oids, schemas, jobs } = job.target
  progress.enter('reading definitions')
  const first = await open(null)
  const moment = await readMoment(first)
  const tool = await findPgDump(Math.floor(Number(moment.version) / 10000))
  const tables = await lockTables(first, { tables: oids, schemas })
  progress.expect(tables.reduce((sum, { bytes }) => sum + bytes, 0))
  const only = oids && (await namesOf(first, oids))

  const { system_identifier: systemIdentifier } = await catalog.walIdentity()
  const home = { server: context.grant().server, systemIdentifier }
  const dumpId = formatBackupId(new Date(), randomBytes(2))
  const onStored = async ({ sha256, ...entry }: PartEntry) => {
    await catalog.recordObject(job.job_id, { kind: 'dump_part', ...entry, sha256: Buffer.from(sha256, 'hex') })
    progress.add(entry.raw_bytes)
  }
  const sizes = partSizes(settings, context.grant())
  const uploader = new PartUploader(box, settings.upload_connections, signal)
  const options = { home, dumpId, compressionLevel: settings.compression_level, ...sizes, onStored }
  const copy = new DumpCopy(options, uploader)

  const sections: DumpManifest['sections'] = { 'pre-data': [], data: [], 'post-data': [] }
  const warnings: string[] = []
  for (const section of SECTIONS) {
    const asked = { databaseUrl, snapshot: moment.snapshot, section, schemas, only, copied: tables }
    const { stdout, ended } = startPgDump(tool, asked, signal)
    sections[section] = await copy.storeSection(section, stdout)
    for (const warning of await ended) if (!warnings.includes(warning)) warnings.push(warning)
  }
  for (const warning of warnings) log.warn({ dumpId }, warning)

  progress.enter('copying')
  const { slices, dumped } = plan(tables, settings.dump_split_bytes)
  const connections = Math.min(jobs ?? (settings.dump_jobs || threads), slices.length)
  const work = async () => {
    if (slices.length === 0) return
    const client = await open(moment.snapshot)
    for (let slice = slices.shift(); slice; slice = slices.shift()) await copy.copySlice(client, slice)
  }
  await Promise.all(Array.from({ length: connections }, work))
  await uploader.drain()
  return {
    postbox_manifest: 1,
    kind: 'dump',
    server: home.server,
    system_identifier: systemIdentifier,
    dump_id: dumpId,
    label,
    database: moment.database,
    postgres_version_num: Number(moment.version),
    pg_dump_version: tool.version,
    snapshot_lsn: moment.lsn,
    snapshot_at: moment.at,
    whole: oids === null && schemas === null,
    warnings,
    sections,
    tables: dumped,
  }
}

async function readMoment(client: pg.Client): Promise<Moment> {
  const { rows } = await client.query<Moment>(
    `select pg_export_snapshot() as snapshot, pg_current_wal_lsn()::text as lsn,
       to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
       current_setting('server_version_num') as version, current_database()::text as database`,
  )
  return rows[0]!
}

async function namesOf(client: pg.Client, oids: number[]): Promise<{ schema: string; name: string }[]> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    'select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any ($1)',
    [oids],
  )
  if (rows.length === oids.length) return rows
  throw new PostboxError('dump_refused', 'a table that was asked for is gone', 'Start the dump anew.')
}

function plan(tables: Awaited<ReturnType<typeof lockTables>>, splitBytes: number) {
  const dumped: DumpedTable[] = []
  const slices: Slice[] = []
  for (const table of tables) {
    const { schema, name, columns } = table
    const one: DumpedTable = { schema, name, columns, rows: 0, raw_bytes: 0, slices: [] }
    dumped.push(one)
    // Without columns there is nothing to select, only to copy whole.
    const ranges = columns.length === 0 ? [null] : pageRanges(table, splitBytes)
    ranges.forEach((range, index) => slices.push({ table, dumped: one, index, range }))
  }
  return { dumped, slices }
}

/** Posts the manifest, then marks the job done: a crash between the two leaves a whole dump and a job to repeat. */
async function commit(
  job: DumpJob,
  manifest: DumpManifest,
  { catalog, box, log }: BaseBackupContext,
  signal: AbortSignal,
): Promise<void> {
  const { server, system_identifier, dump_id } = manifest
  const home = { server, systemIdentifier: system_identifier }
  const unnamed = createPart('', [formatDumpManifest(manifest)], 'application/json')
  const part = { ...unnamed, key: dumpManifestKey(home, dump_id, unnamed.sha256) }
  await box.post(part, signal)
  const { key, bytes, sha256 } = part
  await catalog.recordObject(job.job_id, { kind: 'dump_manifest', key, bytes, raw_bytes: bytes, sha256 })
  const parts = [
    ...Object.values(manifest.sections).flat(),
    ...manifest.tables.flatMap((table) => table.slices.flatMap((slice) => slice.parts)),
  ]
  await catalog.finishDump(job.job_id, {
    dump_id,
    label: manifest.label,
    system_identifier,
    database_name: manifest.database,
    snapshot_lsn: manifest.snapshot_lsn,
    snapshot_at: new Date(manifest.snapshot_at),
    tables: manifest.tables.length,
    table_rows: manifest.tables.reduce((sum, { rows }) => sum + rows, 0),
    raw_bytes: parts.reduce((sum, entry) => sum + entry.raw_bytes, 0),
    stored_bytes: parts.reduce((sum, entry) => sum + entry.bytes, 0),
    manifest_key: key,
    postgres_version_num: manifest.postgres_version_num,
  })
  log.info({ dumpId: dump_id }, 'the dump is committed')
}
