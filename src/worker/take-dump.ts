import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import type pg from 'pg'
import type { DumpManifest } from '../box/dump-manifest.js'
import { formatBackupId } from '../box/key-names.js'
import type { PartEntry } from '../box/manifest.js'
import type { DumpJob } from '../catalog/catalog.js'
import { readDumpChoice, type DumpChoice } from '../catalog/dump-tables.js'
import { lockTables, readMoment, type Moment } from '../source/dump-session.js'
import { findPgDump, startPgDump, type PgDump } from '../source/pg-dump.js'
import { LeftOut, maskedScript } from '../source/masked-script.js'
import { databaseStatements, dropStatements, refreshStatements } from '../source/pg-dump-head.js'
import { TrustedCertificates } from '../source/trusted-certificates.js'
import { needsTrusted, pgDumpConnection, type PgDumpChoice, type Section } from '../source/pg-dump-arguments.js'
import { DumpCopy } from './dump-copy.js'
import type { DumpContext } from './dump-job.js'
import { dumpMemory, type DumpMemory } from './dump-memory.js'
import { planDump, sumUp, type DumpPlan } from './dump-plan.js'
import { DumpProgress } from './dump-progress.js'
import type { DumpSessions } from './dump-sessions.js'
import type { JobProgress } from './job-progress.js'
import { ManifestSize } from './manifest-size.js'
import { PartUploader } from './part-uploader.js'

/** Stores all parts of a dump, and says what the manifest is to be. */
export async function takeDump(
  job: DumpJob,
  context: DumpContext,
  progress: JobProgress,
  sessions: DumpSessions,
  signal: AbortSignal,
): Promise<DumpManifest> {
  const { settings, catalog, box, threads, log } = context
  progress.enter('reading definitions')
  const first = await sessions.open(null)
  const moment = await readMoment(first)
  const tool = await findPgDump(moment.serverMajor)
  const choice = await readDumpChoice(first, job.target)
  if (job.target.masked) await catalog.rememberMasked(choice.masks)
  await lockTables(first, choice.tables)
  const { system_identifier: systemIdentifier, timeline } = await catalog.walIdentity()
  const home = { server: context.grant().server, systemIdentifier }
  const dumpId = formatBackupId(new Date(), randomBytes(2))

  const plan = planDump(choice.tables, settings.dump_split_bytes)
  const { slices, dumped } = plan
  const chosen = chosenOf(job, choice)
  progress.expect(plan.bytes)
  progress.enter('copying')
  const tables = new DumpProgress(slices)
  progress.follow(() => tables.report())
  const size = new ManifestSize(context.grant().max_part_bytes, chosen, plan)
  const memory = divideMemory(job, context, plan, size.leastPartBytes(home, dumpId))
  const uploader = new PartUploader(box, memory.uploads, signal)
  const { encoding } = moment
  const options = {
    home,
    dumpId,
    encoding,
    compressionLevel: settings.compression_level,
    memory,
    threads,
    progress: tables,
    onBuilt: (entry: PartEntry) => {
      size.add(entry)
    },
    onStored: async ({ sha256, ...entry }: PartEntry) => {
      await catalog.recordObject(job.job_id, { kind: 'dump_part', ...entry, sha256: Buffer.from(sha256, 'hex') })
      progress.add(entry.raw_bytes)
    },
  }
  await using copy = new DumpCopy(options, uploader)
  const [{ sections, warnings }] = await Promise.all([
    storeSections(tool, job, choice, moment, first, context, copy, signal),
    sessions.copy(first, moment.snapshot, slices, memory.streams - 1, (client, slice) => copy.copySlice(client, slice)),
  ])
  await uploader.drain()
  for (const warning of warnings) log.warn({ dumpId }, warning)

  const { only, schemas, exclude, exclude_data, masked, row_security, where, label } = job.target
  const filtered = schemas ?? choice.only ?? [...exclude, ...exclude_data, ...Object.keys(where)].length > 0
  return {
    postbox_manifest: 1,
    kind: 'dump',
    server: home.server,
    system_identifier: systemIdentifier,
    dump_id: dumpId,
    label,
    database: moment.database,
    encoding,
    postgres_version_num: moment.versionNum,
    pg_dump_version: tool.version,
    timeline,
    snapshot_lsn: moment.lsn,
    snapshot_at: moment.at,
    previous_manifest: await context.catalog.previousDump(systemIdentifier),
    whole: !(filtered || only !== null || masked || row_security),
    masked,
    chosen,
    warnings,
    sections,
    tables: dumped.map(sumUp),
  }
}

/** As the manifest says it. */
function chosenOf({ target }: DumpJob, { only: tables }: DumpChoice): DumpManifest['chosen'] {
  const { only, schemas, exclude, exclude_data, row_security } = target
  return { only, schemas, tables, exclude, exclude_data, row_security }
}

/** For as many connections as there are to be, or fewer. */
function divideMemory(
  { target, job_id }: DumpJob,
  { settings, grant, threads, log }: DumpContext,
  { slices }: DumpPlan,
  leastPartBytes: number,
): DumpMemory {
  const wanted = Math.min(target.jobs ?? (settings.dump_jobs || threads), slices.length)
  // What pg_dump prints is a stream too.
  const memory = dumpMemory(settings, grant(), wanted + 1, threads, leastPartBytes)
  const connections = memory.streams - 1
  if (connections < wanted) {
    const why = 'parts must be large, so that few connections copy: a larger --max-part-bytes of the grant allows more'
    log.warn({ job: job_id.toString(), connections, wanted, partBytes: memory.partBytes }, why)
  }
  return memory
}

/** Where only some of what pg_dump prints is wanted, most often its beginning. */
const SOME: Partial<Record<Section, (text: Readable, encoding: string) => Promise<Buffer>>> = {
  database: databaseStatements,
  drop: dropStatements,
}
const SOME_OF_DATA: typeof SOME = { 'post-data': refreshStatements }

/** What pg_dump prints, section by section. The snapshot lasts as long as `first` does. */
async function storeSections(
  tool: PgDump,
  { target, job_id }: DumpJob,
  { tables, only: named, excluded, emptied, unmaskable }: DumpChoice,
  { snapshot, encoding, serverMajor }: Moment,
  first: pg.Client,
  { databaseUrl }: DumpContext,
  copy: DumpCopy,
  signal: AbortSignal,
): Promise<{ sections: DumpManifest['sections']; warnings: string[] }> {
  const { only, schemas, masked, row_security: rowSecurity } = target
  await using trusted = needsTrusted(databaseUrl) ? await TrustedCertificates.write() : null
  const connection = pgDumpConnection(first, databaseUrl, `postbox dump ${job_id}`, trusted)
  const choice: PgDumpChoice = {
    snapshot,
    serverMajor,
    encoding,
    only,
    schemas,
    tables: named,
    excluded,
    emptied,
    copied: [...tables, ...unmaskable],
    masked,
    rowSecurity,
  }
  const wanted: Record<'all' | 'schema' | 'data', readonly Section[]> = {
    all: ['database', 'drop', 'pre-data', 'data', 'post-data'],
    schema: ['database', 'drop', 'pre-data', 'post-data'],
    data: ['data', 'post-data'],
  }
  const sections: DumpManifest['sections'] = { database: [], drop: [], 'pre-data': [], data: [], 'post-data': [] }
  const warnings = new Set<string>()
  const leftOut = new LeftOut()
  for (const section of wanted[only ?? 'all']) {
    const enough = new AbortController()
    const { stdout, ended } = startPgDump(tool, section, choice, connection, AbortSignal.any([signal, enough.signal]))
    const some = (only === 'data' ? SOME_OF_DATA : SOME)[section]
    const head = some?.(stdout, encoding).catch(async (thrown: unknown) => {
      // That pg_dump failed is why its text cannot be read.
      await ended
      throw thrown
    })
    const text = head ? Readable.from([await head]) : stdout
    const whole = head ? Promise.resolve() : ended
    const isCleaned = masked && section !== 'data'
    const stored = isCleaned ? Readable.from(maskedScript(text, encoding, leftOut, whole), { objectMode: false }) : text
    sections[section] = await copy.storeSection(section, stored)
    if (head && !stdout.readableEnded) enough.abort()
    else for (const warning of await ended) warnings.add(warning)
  }
  if (unmaskable.length > 0) {
    const names = unmaskable.map(({ schema, name }) => `${schema}.${name}`).join(', ')
    warnings.add(`masked: the rows of extensions in ${names} were left out`)
  }
  return { sections, warnings: [...warnings, ...leftOut.warnings] }
}
