import { chmod, chown, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PostboxError } from '../errors.js'
import type { Archive } from './archive.js'
import { fetchPart, fetchParts, type LocatedBackup, type LocatedPart } from './fetch-parts.js'
import { inOrder } from './in-order.js'
import type { RestorePlan } from './plan.js'
import { recoveryConfiguration, type TargetAction } from './recovery-settings.js'
import { CHOICE, recoveryEndCommandLine } from './restore-command.js'
import { makeDirectories, type Place } from './restore-directories.js'
import { syncDirectory, syncFileSystems } from './sync-file-system.js'
import { tablespaceMap } from './tablespace-map.js'
import { Untar, type Placement } from './untar.js'
import { FileWriter, type Owner } from './write-files.js'
import { decompressFrame, framesOf } from './zstd.js'
import type { Frame } from './zstd-frames.js'

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

/** Raw bytes that are being decompressed or wait for their turn. */
const MAX_RAW_BYTES = 20 * 1024 * 1024
const FRAMES_AT_ONCE = 8

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

/** Fetch → verify → decompress → unpack: parts of all archives in one line, so that no archive waits for the next. */
async function unpack(archive: Archive, job: RestoreJob, writer: FileWriter): Promise<void> {
  const untars = job.located.archives.map(({ tablespace }) => {
    const place = job.places.find((one) => one.tablespace === tablespace)!
    const isBase = tablespace === 'base'
    return new Untar(place.directory, writer, tablespace, isBase ? basePlacement(job) : undefined, isBase ? NEEDED : [])
  })
  const parts = job.located.archives.flatMap((one, index) =>
    one.parts.map((part, at): ArchivePart => ({ ...part, archive: index, last: at === one.parts.length - 1 })),
  )
  const room = { atOnce: FRAMES_AT_ONCE, bytes: MAX_RAW_BYTES, bytesOf: (one: PartFrame) => one.frame?.rawBytes ?? 0 }
  const frames = framesOfParts(fetchParts(archive, parts, job.jobs))
  let rawBytes = 0
  for await (const { part, raw } of inOrder(frames, room, decompressOne)) {
    if (raw) {
      rawBytes += raw.length
      await untars[part.archive]!.push(raw)
      await writer.room()
      continue
    }
    checkRawBytes(part, rawBytes)
    job.onProgress?.(part.entry.bytes, rawBytes)
    rawBytes = 0
    if (part.last) untars[part.archive]!.finish()
  }
  checkComplete(untars)
}

/** A frame of a part, or null behind its last one. */
interface PartFrame {
  part: ArchivePart
  frame: Frame | null
}

async function* framesOfParts(parts: AsyncIterable<{ part: ArchivePart; stored: Buffer }>): AsyncGenerator<PartFrame> {
  for await (const { part, stored } of parts) {
    for (const frame of framesOf(stored, part.entry.key)) yield { part, frame }
    yield { part, frame: null }
  }
}

async function decompressOne({ part, frame }: PartFrame) {
  return { part, raw: frame && (await decompressFrame(frame, part.entry.key)) }
}

function checkRawBytes({ entry }: ArchivePart, rawBytes: number): void {
  if (entry.raw_bytes === rawBytes) return
  const message = `${entry.key} holds ${rawBytes} bytes of tar, and the manifest says ${entry.raw_bytes}`
  throw new PostboxError('object_damaged', message, 'Restore another backup; see "postbox list".')
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
  let rawBytes = 0
  for (const frame of framesOf(await fetchPart(archive, located.backupManifest), entry.key)) {
    const raw = await decompressFrame(frame, entry.key)
    rawBytes += raw.length
    file.write(raw)
    await writer.room()
  }
  file.end()
  onProgress?.(entry.bytes, rawBytes)
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

async function writeRecovery({ plan, dataDir, owner, action, restoreCommand }: RestoreJob): Promise<void> {
  const settings = {
    restoreCommand,
    recoveryEndCommand: recoveryEndCommandLine(),
    target: plan.target,
    inclusive: plan.inclusive,
    // By its number Postgres wants the history file, which a backup's own timeline does not need.
    timeline: plan.timeline === plan.backup.manifest.timeline ? ('current' as const) : plan.timeline,
    action,
  }
  const file = join(dataDir, 'postgresql.auto.conf')
  const previous = await readFile(file, 'utf8').catch(() => '')
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
