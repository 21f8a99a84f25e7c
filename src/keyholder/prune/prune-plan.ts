import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import { formatBackupId, homePrefix, isBackupId, type Home } from '../../box/key-names.js'
import { PostboxError } from '../../errors.js'
import type { Archive, StoredObject } from '../archive.js'
import type { DeletableArchive } from './deletable-archive.js'
import type { Deletion } from './deletion.js'

/** Plans of all servers. No grant opens it: a server's own folder is all that its grant does. */
export const PLAN_PREFIX = '.postbox/prune/'

/** A stored plan, format version 1. FORMAT.md explains each field. */
const Plan = z.object({
  postbox_prune: z.literal(1),
  server: z.string(),
  system_identifier: z.string(),
  plan_id: z.string(),
  planned_at: z.iso.datetime(),
  groups: z.array(
    z.object({
      kind: z.enum(['manifest', 'part', 'segment', 'tail', 'history']),
      id: z.string().nullable(),
      because: z.string(),
      /** without the prefix of the life */
      keys: z.array(z.string()),
    }),
  ),
})

export type Plan = z.infer<typeof Plan>

/** How a plan ended, as it is stored. */
export interface Closing {
  postbox_prune_closed: 1
  plan_id: string
  closed_at: string
  /** manifests that are gone by it, without the prefix of the life */
  manifests: string[]
  /** by the run that stored it, or by a later one, which planned anew what was left of it */
  by: 'itself' | 'a later run'
  deleted: number
  /** what Object Lock kept */
  retained: { key: string; because: string }[]
}

export const plansPrefix = ({ server, systemIdentifier }: Home): string =>
  `${PLAN_PREFIX}${server}/${systemIdentifier}/`
const closingKey = (home: Home, planId: string): string => `${plansPrefix(home)}${planId}.closed.json`
/** How far clocks may lie apart. */
const CLOCKS_MS = 15 * 60_000

/** A plan in the archive that was not closed: its run was interrupted. */
export interface OpenPlan {
  key: string
  plan: Plan
}

/** Stores what is about to be deleted, and returns the plan's id. Throws `clock_skew` when the archive's clock differs. */
export async function storePlan(
  archive: DeletableArchive,
  home: Home,
  deletions: readonly Deletion[],
): Promise<string> {
  const now = archive.now()
  const planId = formatBackupId(now, randomBytes(2))
  const prefix = homePrefix(home)
  const groups = Map.groupBy(deletions, ({ kind, id, because }) => JSON.stringify([kind, id, because]))
  const plan: Plan = {
    postbox_prune: 1,
    server: home.server,
    system_identifier: home.systemIdentifier,
    plan_id: planId,
    planned_at: now.toISOString(),
    groups: [...groups.values()].map((group) => {
      const { kind, id, because } = group[0]!
      return { kind, id, because, keys: group.map(({ key }) => key.slice(prefix.length)) }
    }),
  }
  const key = `${plansPrefix(home)}${planId}.json`
  await archive.put(key, asJson(plan))
  await checkClocks(archive, key, now)
  return planId
}

/** Whoever deletes by time must know the time. */
async function checkClocks(archive: Archive, key: string, now: Date): Promise<void> {
  for await (const { storedAt } of archive.list(key)) {
    const apartMs = Math.abs(storedAt.getTime() - now.getTime())
    if (apartMs <= CLOCKS_MS) return
    const message = `this machine's clock says ${now.toISOString()}, the archive's ${storedAt.toISOString()}`
    throw new PostboxError('clock_skew', message, 'Set the clock right; nothing was deleted.')
  }
  throw new PostboxError('archive_unavailable', `${key} was stored and is not listed`, 'Run the same again.')
}

export async function closePlan(
  archive: DeletableArchive,
  home: Home,
  planId: string,
  closing: Omit<Closing, 'postbox_prune_closed' | 'plan_id' | 'closed_at'>,
): Promise<void> {
  const closed_at = archive.now().toISOString()
  const manifests = closing.manifests.map((key) => key.slice(homePrefix(home).length))
  const whole: Closing = { postbox_prune_closed: 1, plan_id: planId, closed_at, ...closing, manifests }
  await archive.put(closingKey(home, planId), asJson(whole))
}

/** Plans of this life that were not closed. What is no plan, or another life's, is named in `notes`. */
export async function openPlans(archive: Archive, home: Home, notes: string[]): Promise<OpenPlan[]> {
  const prefix = plansPrefix(home)
  const stored = new Map<string, StoredObject>()
  const closed = new Set<string>()
  for await (const object of archive.list(prefix)) {
    const [, planId, isClosing] = /^([^.]+)(\.closed)?\.json$/.exec(object.key.slice(prefix.length)) ?? []
    if (planId === undefined || !isBackupId(planId)) notes.push(`${object.key} has no name that Postbox gives`)
    else if (isClosing) closed.add(planId)
    else stored.set(planId, object)
  }
  const open: OpenPlan[] = []
  for (const [planId, object] of stored) {
    if (closed.has(planId)) continue
    const plan = readPlan(await archive.read(object), home, planId)
    if (plan) open.push({ key: object.key, plan })
    else notes.push(`${object.key} is no plan for this life of the server: it is not followed`)
  }
  return open
}

function readPlan(content: Buffer, home: Home, planId: string): Plan | null {
  try {
    const plan = Plan.parse(JSON.parse(content.toString('utf8')))
    const isOurs = plan.server === home.server && plan.system_identifier === home.systemIdentifier
    return isOurs && plan.plan_id === planId ? plan : null
  } catch {
    return null
  }
}

/** By id, the keys of backups and dumps whose deletion these plans began with their manifests. */
export function begunFolders(home: Home, plans: readonly OpenPlan[]): Map<string, Set<string>> {
  const begun = new Map<string, Set<string>>()
  const groups = plans.flatMap(({ plan }) => plan.groups)
  const manifests = new Set(groups.flatMap(({ kind, id }) => (kind === 'manifest' ? [id] : [])))
  for (const { kind, id, keys } of groups) {
    // A folder that never had a manifest is judged by its age alone.
    if (id === null || kind !== 'part' || !manifests.has(id)) continue
    const known = begun.get(id) ?? new Set<string>()
    for (const key of keys) known.add(homePrefix(home) + key)
    begun.set(id, known)
  }
  return begun
}

const asJson = (value: object): Buffer => Buffer.from(JSON.stringify(value, null, 1) + '\n')
