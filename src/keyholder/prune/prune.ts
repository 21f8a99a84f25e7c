import { homePrefix, type Home } from '../../box/key-names.js'
import { checkServerName } from '../../box/server-name.js'
import { PostboxError } from '../../errors.js'
import { systemIdentifiers } from '../stored-backups.js'
import { Execution, type Outcome } from './carry-out.js'
import { decide, keepAlso, type Decision } from './decisions.js'
import type { DeletableArchive } from './deletable-archive.js'
import type { Deletion } from './deletion.js'
import { folderDeletions, type FolderDeletions } from './folder-deletions.js'
import { lockedFolders, readLife, type Life } from './life.js'
import { closePlan } from './prune-plan.js'
import { provedLives } from './proved-lives.js'
import { DeletionCount, reportDecision, reportStretches, type LifeReport, type PruneReport } from './prune-report.js'
import type { Retention } from './retention-schema.js'
import { uidOf } from './stored-folder.js'
import { storeKept } from './stored-kept.js'
import { walDeletions } from './wal-deletions.js'
import { WalNeeds } from './wal-needs.js'

export interface PruneRequest {
  server: string
  retention: Retention
  /** ids that a person wants gone, with "<system identifier>/" in front where several lives have one */
  drop: readonly string[]
  /** false: only say what would be done */
  confirm: boolean
}

/**
 * Decides what a server's retention no longer keeps and, if confirmed, deletes it. All of its lives are looked at
 * together; nothing is believed that only the server says.
 *
 * Throws `backup_missing` when nothing is stored, or an id to drop is not there, and `clock_skew`.
 */
export async function prune(archive: DeletableArchive, request: PruneRequest): Promise<PruneReport> {
  const { server, retention, drop, confirm } = request
  const identifiers = await systemIdentifiers(archive, checkServerName(server))
  // Only now, because the first answer tells the archive's time.
  const now = archive.now()
  const windowSeconds = retention.pointInTimeSeconds
  const since = windowSeconds === null ? null : new Date(now.getTime() - windowSeconds * 1000)
  const lives: Life[] = []
  for (const systemIdentifier of identifiers) {
    lives.push(await readLife(archive, { server, systemIdentifier }, since))
  }
  const dropped = findDropped(lives, server, drop)
  const decisions = await decideAll(archive, lives, request, now, dropped)
  const report: PruneReport = {
    server,
    decided_at: now.toISOString(),
    confirmed: confirm,
    lives: [],
    notes: unknownHolds(lives, retention),
    totals: { delete_objects: 0, delete_bytes: 0, keep_bytes: 0 },
  }
  for (const life of lives) {
    const work = new LifePrune(archive, life, decisions, request, { now, since })
    report.lives.push(await work.run())
    const count = work.count.groups
    report.totals.delete_objects += count.reduce((sum, { objects }) => sum + objects, 0)
    report.totals.delete_bytes += count.reduce((sum, { bytes }) => sum + bytes, 0)
    report.totals.keep_bytes += life.survey.bytes
  }
  report.totals.keep_bytes -= report.totals.delete_bytes
  return report
}

/** What is meant by the ids to drop, by uidOf(). */
function findDropped(lives: readonly Life[], server: string, drop: readonly string[]): Set<string> {
  const folders = lives.flatMap((life) => life.folders)
  const missing = (what: string) =>
    new PostboxError('backup_missing', `${what} is stored for server ${server}`, 'Run "postbox list" to see what is.')
  if (lives.length === 0) throw missing('nothing')
  return new Set(
    drop.map((wanted) => {
      const found = [...new Set(folders.filter((one) => one.id === wanted || uidOf(one) === wanted).map(uidOf))]
      if (found.length === 0) throw missing(`no backup or dump ${wanted}`)
      if (found.length === 1) return found[0]!
      const message = `${wanted} is stored in several lives of server ${server}`
      throw new PostboxError('bad_argument', message, `Name one of them: ${found.join(', ')}.`)
    }),
  )
}

/** A hold that holds nothing is a mistake, or of something that is gone. */
function unknownHolds(lives: readonly Life[], { backups, dumps }: Retention): string[] {
  const ids = new Set(lives.flatMap(({ folders }) => folders.map(({ id }) => id)))
  const held = [...(backups?.hold ?? []), ...(dumps?.hold ?? [])]
  return held.filter((id) => !ids.has(id)).map((id) => `${id} is on hold, and is not stored`)
}

/** Of all lives, first by the rules, then with what Object Lock keeps anyway. */
async function decideAll(
  archive: DeletableArchive,
  lives: readonly Life[],
  { server, retention }: PruneRequest,
  now: Date,
  drop: ReadonlySet<string>,
): Promise<Decision[]> {
  const circumstances = {
    now,
    incompleteAfterSeconds: retention.incompleteAfterSeconds,
    drop,
    needed: new Map(lives.flatMap(({ needed }) => [...needed])),
    halfDeleted: new Set(lives.flatMap(({ home, begun }) => [...begun.keys()].map((id) => uidOf({ home, id })))),
    proved: await provedLives(archive, server, lives),
  }
  const folders = lives.flatMap((life) => life.folders)
  const decisions = [
    ...decide(
      folders.filter(({ kind }) => kind === 'base'),
      retention.backups,
      circumstances,
    ),
    ...decide(
      folders.filter(({ kind }) => kind === 'dump'),
      retention.dumps,
      circumstances,
    ),
  ]
  return keepAlso(decisions, await lockedFolders(archive, decisions))
}

/** What is done with one life of the server. */
class LifePrune {
  readonly count = new DeletionCount()
  readonly #decisions: Decision[]
  readonly #needs: WalNeeds
  readonly #notes: string[]

  constructor(
    readonly archive: DeletableArchive,
    readonly life: Life,
    all: readonly Decision[],
    readonly request: PruneRequest,
    readonly times: { now: Date; since: Date | null },
  ) {
    const { home, survey } = life
    const isOwn = (one: Home) => one.systemIdentifier === home.systemIdentifier
    this.#decisions = all.filter(({ folder }) => isOwn(folder.home))
    const isGood = ({ folder: { kind, state }, action }: Decision) =>
      kind === 'base' && state === 'good' && action === 'keep'
    this.#needs = new WalNeeds({
      survey,
      decisions: this.#decisions.filter(({ folder }) => folder.kind === 'base'),
      ...times,
      incompleteAfterSeconds: request.retention.incompleteAfterSeconds,
      goesOnElsewhere: all.some((one) => isGood(one) && !isOwn(one.folder.home)),
    })
    this.#notes = [...life.notes, ...this.#needs.notes]
  }

  async run(): Promise<LifeReport> {
    const { life, archive } = this
    const folders = await this.#folders()
    const strangers = [...life.survey.strangers.keys, ...folders.flatMap((one) => one.strangers)]
    const outcome = this.request.confirm ? await this.#carryOut(folders) : await this.#count(folders)
    const left = this.#leftOfPlans()
    if (this.request.confirm) {
      for (const { plan } of life.plans) {
        const manifests = plan.groups.filter(({ kind, id }) => kind === 'manifest' && !this.#keeps(id))
        await closePlan(archive, life.home, plan.plan_id, {
          by: 'a later run',
          manifests: manifests.flatMap(({ keys }) => keys.map((key) => homePrefix(life.home) + key)),
          deleted: 0,
          retained: [],
        })
      }
      await storeKept(archive, life.home, this.#needs.segmentBytes)
    }
    return {
      system_identifier: life.home.systemIdentifier,
      decisions: this.#decisions.map(reportDecision),
      kept_wal: reportStretches(this.#needs.stretches),
      deletions: this.count.groups,
      strangers: [...new Set(strangers)],
      strangers_count: life.survey.strangers.count + folders.reduce((sum, one) => sum + one.strangers.length, 0),
      open_plans: life.plans.map(({ key }) => key),
      plans: outcome.plans,
      deleted_objects: outcome.objects,
      deleted_bytes: outcome.bytes,
      retained: outcome.retained,
      notes: [...this.#notes, ...left],
    }
  }

  /** Newest first, so that what builds on another goes before it. */
  async #folders(): Promise<FolderDeletions[]> {
    const gone = this.#decisions.filter(({ action }) => action === 'delete')
    const found: FolderDeletions[] = []
    for (const decision of gone.sort((a, b) => (a.folder.id > b.folder.id ? -1 : 1))) {
      found.push(await folderDeletions(this.archive, decision, this.life.begun.get(decision.folder.id) ?? null))
    }
    return found
  }

  async *#wal(): AsyncGenerator<Deletion> {
    if (this.request.retention.backups === null) return
    for await (const one of walDeletions(this.archive, this.life.home, this.#needs, this.times.now)) {
      this.count.add(one)
      yield one
    }
  }

  async #count(folders: readonly FolderDeletions[]): Promise<Outcome> {
    for (const { manifests, parts } of folders) for (const one of [...manifests, ...parts]) this.count.add(one)
    for await (const one of this.#wal()) void one
    return { plans: [], objects: 0, bytes: 0, retained: [] }
  }

  async #carryOut(folders: readonly FolderDeletions[]): Promise<Outcome> {
    for (const { manifests, parts } of folders) for (const one of [...manifests, ...parts]) this.count.add(one)
    const execution = new Execution(this.archive, this.life.home)
    const whole = await execution.folders(folders)
    if (whole) await execution.wal(this.#wal())
    else this.#notes.push('a manifest could not be deleted, so WAL stays as it is in this run')
    return execution.outcome
  }

  #keeps(id: string | null): boolean {
    return this.#decisions.some(({ folder, action }) => folder.id === id && action === 'keep')
  }

  /** Backups in an earlier plan that the rules of today keep. */
  #leftOfPlans(): string[] {
    const planned = new Set(this.life.plans.flatMap(({ plan }) => plan.groups.flatMap(({ id }) => id ?? [])))
    return [...planned]
      .filter((id) => this.#keeps(id))
      .map((id) => `${id} was to be deleted by an earlier plan and is kept`)
  }
}
