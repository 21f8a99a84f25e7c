import { chmod, chown, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PostboxError } from '../errors.js'
import type { Archive } from './archive.js'
import type { LocatedBackup, LocatedPart } from './fetch-parts.js'
import type { RestorePlan } from './plan.js'
import { recoveryConfiguration, type TargetAction } from './recovery-settings.js'
import { CHOICE, recoveryEndCommandLine } from './restore-command.js'
import { makeDirectories, type Place } from './restore-directories.js'
import { syncDirectory, syncFileSystems } from './sync-file-system.js'
import { tablespaceMap } from './tablespace-map.js'
import { unpackParts } from './unpack-parts.js'
import { Untar, type Placement } from './untar.js'
import { FileWriter, type Owner } from './write-files.js'

/** Everything that writing a backup out needs to know. */
export interface RestoreJob {
  plan: RestorePlan
  located: LocatedBackup
  dataDir: string
  places: readonly Place[]
  /** whether a tablespace goes elsewhere than it lay */
  moved: boolean
  owner: Owner
  action: TargetAction
  restoreCommand: string
  /** whether what ALTER SYSTEM has set stays set; yes unless said otherwise */
  keepSettings?: boolean
  /** requests to the archive at once */
  jobs: number
  /** called as parts are unpacked, with their stored and raw bytes */
  onProgress?: (storedBytes: number, rawBytes: number) => void
}

/** Under this name until everything else is on disk: Postgres does not start without its control file. */
const CONTROL_FILE = 'global/pg_control'
const CONTROL_FILE_UNTIL_DONE = 'global/pg_control.postbox-restore'
const NEEDED = ['PG_VERSION', 'backup_label', CONTROL_FILE]
/** They would turn the recovery into a standby's, or are ours to write. */
const LEFT_OUT = ['standby.signal', 'recovery.signal']

/**
 * Writes a backup into empty directories, ready for plain pg_ctl.
 *
 * The control file comes last, after all else was verified and synced: a restore that failed cannot be started.
 */
export async function restore(archive: Archive, job: RestoreJob): Promise<void> {
  try {
    await makeDirectories([job.dataDir, ...job.places.map((place) => place.directory)], job.owner)
    const writer = new FileWriter(job.owner)
    await unpack(archive, job, writer)
    await writeBackupManifest(archive, job, writer)
    await writeLinks(job, writer)
    await writer.finish()
    await writeRecovery(job)
    await allowGroup(job)
    await syncFileSystems([job.dataDir, ...job.places.map((place) => place.directory)])
    await rename(join(job.dataDir, CONTROL_FILE_UNTIL_DONE), join(job.dataDir, CONTROL_FILE))
    await syncDirectory(join(job.dataDir, 'global'))
  } catch (thrown) {
    throw restoreError(thrown, job.dataDir)
  }
}

/** Total of stored bytes that a restore fetches. */
export function storedBytes(located: LocatedBackup): number {
  const parts = [...located.archives.flatMap((one) => one.parts), located.backupManifest]
  return parts.reduce((sum, part) => sum + part.entry.bytes, 0)
}

interface ArchivePart extends LocatedPart {
  archive: number
  last: boolean
}

/** Parts of all archives in one line, so that no archive waits for the next. */
async function unpack(archive: Archive, job: RestoreJob, writer: FileWriter): Promise<void> {
  const untars = job.located.archives.map(({ tablespace }) => {
    const place = job.places.find((one) => one.tablespace === tablespace)!
    const isBase = tablespace === 'base'
    return new Untar(place.directory, writer, tablespace, isBase ? basePlacement(job) : undefined, isBase ? NEEDED : [])
  })
  const parts = job.located.archives.flatMap((one, index) =>
    one.parts.map((part, at): ArchivePart => ({ ...part, archive: index, last: at === one.parts.length - 1 })),
  )
  for await (const { part, raw } of unpackParts(archive, parts, { fetches: job.jobs })) {
    if (raw) {
      await untars[part.archive]!.push(raw)
      await writer.room()
      continue
    }
    job.onProgress?.(part.entry.bytes, part.entry.raw_bytes)
    if (part.last) untars[part.archive]!.finish()
  }
  checkComplete(untars)
}

function checkComplete(untars: readonly Untar[]): void {
  const seen = new Set(untars.flatMap((untar) => [...untar.seen]))
  const lacking = NEEDED.filter((path) => !seen.has(path))
  if (lacking.length === 0) return
  const message = `the backup holds no ${lacking.join(', no ')}`
  throw new PostboxError('restore_failed', message, 'It is not a whole base backup. Restore another one.')
}

function basePlacement({ moved }: RestoreJob): Placement {
  return (path) => {
    if (path === CONTROL_FILE) return CONTROL_FILE_UNTIL_DONE
    if (LEFT_OUT.includes(path) || (moved && path === 'tablespace_map')) return null
    return path
  }
}

async function writeBackupManifest(archive: Archive, { located, dataDir, onProgress }: RestoreJob, writer: FileWriter) {
  const { entry } = located.backupManifest
  const file = writer.file(join(dataDir, 'backup_manifest'), 0o600)
  for await (const { raw } of unpackParts(archive, [located.backupManifest], { fetches: 1 })) {
    if (raw) file.write(raw)
    await writer.room()
  }
  file.end()
  onProgress?.(entry.bytes, entry.raw_bytes)
}

/** Postgres would make the links itself at its first start; tools that look before need them now. */
async function writeLinks({ dataDir, places, moved }: RestoreJob, writer: FileWriter): Promise<void> {
  const linked = places.filter((place) => place.linked)
  for (const { tablespace, directory } of linked) {
    await writer.directory(join(dataDir, 'pg_tblspc'), 0o700)
    await writer.link(join(dataDir, 'pg_tblspc', tablespace), directory)
  }
  if (!moved) return
  const map = writer.file(join(dataDir, 'tablespace_map'), 0o600)
  map.write(Buffer.from(tablespaceMap(linked)))
  map.end()
}

async function writeRecovery({
  plan,
  dataDir,
  owner,
  action,
  restoreCommand,
  keepSettings = true,
}: RestoreJob): Promise<void> {
  const settings = {
    restoreCommand,
    recoveryEndCommand: recoveryEndCommandLine(),
    target: plan.target,
    inclusive: plan.inclusive,
    // By its number Postgres wants the history file, which a backup's own timeline does not need.
    timeline: plan.timeline === plan.backup.manifest.timeline ? ('current' as const) : plan.timeline,
    action,
    restored: `${plan.backup.backupId} at ${new Date().toISOString()}`,
  }
  const file = join(dataDir, 'postgresql.auto.conf')
  const previous = keepSettings ? await readFile(file, 'utf8').catch(() => '') : ''
  for (const [path, content] of [
    ...(plan.choice ? [[join(dataDir, CHOICE), plan.choice.format()] as const] : []),
    [file, recoveryConfiguration(previous, settings)],
    [join(dataDir, 'recovery.signal'), ''],
  ] as const) {
    await writeFile(path, content, { mode: 0o600 })
    if (owner) await chown(path, owner.uid, owner.gid)
  }
}

/** A cluster made with initdb --allow-group-access stays readable for its group. */
async function allowGroup({ dataDir, places }: RestoreJob): Promise<void> {
  const { mode } = await stat(join(dataDir, 'global'))
  if ((mode & 0o050) !== 0o050) return
  for (const directory of [dataDir, ...places.map((place) => place.directory)]) await chmod(directory, 0o750)
}

function restoreError(thrown: unknown, dataDir: string): unknown {
  const { code, message } = (thrown ?? {}) as NodeJS.ErrnoException
  if (thrown instanceof PostboxError || typeof code !== 'string') return thrown
  const hint = `Mend it, empty ${dataDir} and restore again; as it is, Postgres will not start from it.`
  return new PostboxError('restore_failed', `the files cannot be written: ${message}`, hint, { cause: thrown })
}
