import { backupPrefix, dumpPrefix, homePrefix, type Home } from '../../box/key-names.js'
import type { Archive, StoredObject } from '../archive.js'
import { accountOf, type Account } from '../key-account.js'
import { listSummarised, summariseAll, type ListedHome, type Summaries } from '../list-server.js'
import { WalMap } from '../wal-map.js'
import { joinTails, type TailLoss } from './join-tails.js'
import { problemsListed } from './listed-problems.js'
import { odd, type Problem } from './problem.js'
import { TailGroups, uncovered, type TailGroup } from './tail-groups.js'
import { Folders, storedOver, type VerifiedFolder } from './verify-folders.js'
import { walProblems } from './wal-problems.js'
import type { UnfinishedSegment } from './wal-holes.js'

export { damage, type Problem } from './problem.js'
export type { VerifiedFolder } from './verify-folders.js'

/** What the archive holds of one life of a server, and what is wrong with it. */
export interface VerifiedHome {
  server: string
  system_identifier: string
  objects: number
  bytes: number
  /** whose manifest is there and every part of it */
  backups: number
  dumps: number
  segments: number
  tails: number
  /** WAL that is missing between what is stored, from the first backup on its timeline's way on */
  wal_gaps: ListedHome['wal_gaps']
  /** whole segments of each timeline, from the first to the last */
  wal: ListedHome['wal_gaps']
  problems: Problem[]
}

export interface VerifyOptions {
  /** one backup or dump; null for all, and all WAL */
  only: string | null
}

/**
 * Looks at everything that is stored of a server's life by listing alone, and reads of WAL only the tails of segments that
 * are not whole, and histories. `onFolder` gets each backup and dump that is
 * whole, one at a time.
 *
 * Memory grows with gaps and with what is wrong, not with the number of segments.
 */
export async function verifyHome(
  archive: Archive,
  home: Home,
  { only }: VerifyOptions,
  onFolder: (folder: VerifiedFolder) => Promise<void>,
): Promise<VerifiedHome> {
  const { server, systemIdentifier: system_identifier } = home
  const counted = { objects: 0, bytes: 0, backups: 0, dumps: 0, segments: 0, tails: 0 }
  const problems: Problem[] = []
  const summaries = await summariseAll(archive, home)
  const seen = new SeenWal(archive, home, summaries)
  const folders = new Folders(archive, home, problems, async (folder) => {
    counted[folder.kind === 'base' ? 'backups' : 'dumps'] += 1
    await onFolder(folder)
  })
  for (const prefix of only === null ? [homePrefix(home)] : [backupPrefix(home, only), dumpPrefix(home, only)]) {
    for await (const object of archive.list(prefix)) {
      const account = accountOf(home, object.key)
      const kind = account?.kind
      counted.objects += 1
      counted.bytes += object.bytes
      if (kind === 'segment') counted.segments += 1
      if (kind === 'tail') counted.tails += 1
      if (account && 'id' in account) await folders.enter(account.kind, account.id)
      else if (object.storedOver) problems.push(storedOver(object, null))
      if (account) folders.see(account, object)
      else problems.push(unknown(object))
      if (account) await seen.see(account, object)
    }
  }
  await folders.leave()
  await seen.end()
  const wal = new WalMap(archive, home, summaries.segmentBytes)
  const listed = await listSummarised(archive, home, summaries, Infinity, wal)
  problems.push(...(await problemsListed(archive, home, { listed, summaries, only })))
  if (only === null) problems.push(...seen.strange, ...(await walProblems(wal, summaries, listed, seen, new Date())))
  const { wal_gaps } = listed
  const extents = listed.timelines.flatMap(({ timeline, from_lsn, to_lsn }) =>
    from_lsn === null || to_lsn === null ? [] : [{ timeline, from_lsn, to_lsn }],
  )
  return { server, system_identifier, ...counted, wal_gaps, wal: extents, problems: eachOnce(problems) }
}

/** What was seen of WAL in the listing, as far as it is not whole. */
class SeenWal {
  /** that have segments or tails */
  readonly timelines = new Set<number>()
  readonly unfinished: UnfinishedSegment[] = []
  readonly losses: TailLoss[] = []
  readonly strange: Problem[] = []
  /** null where no backup says how long a segment is: then there is none to recover, either */
  readonly #groups: TailGroups | null

  constructor(archive: Archive, home: Home, { committed, segmentBytes }: Summaries) {
    const look = async (group: TailGroup) => {
      const tails = uncovered(group)
      if (tails.length === 0) return
      const { timeline, start } = group
      const storedAt = new Date(Math.min(...tails.map(({ object }) => object.storedAt.getTime())))
      this.unfinished.push({ timeline, start, storedAt })
      const loss = await joinTails(archive, group, tails, segmentBytes)
      if (loss) this.losses.push(loss)
    }
    this.#groups = committed.length === 0 ? null : new TailGroups(archive, home, segmentBytes, look)
  }

  async see(account: Account, object: StoredObject): Promise<void> {
    if (account.kind === 'segment' || account.kind === 'tail') this.timelines.add(account.timeline)
    if (account.kind !== 'tail' || !this.#groups || (await this.#groups.see(object))) return
    this.strange.push(odd(`${object.key} lies in no segment of this server`))
  }

  async end(): Promise<void> {
    await this.#groups?.end()
  }
}

function unknown({ key }: StoredObject): Problem {
  return odd(`${key} has no name that Postbox gives`)
}

/** Of two that say the same, the error; in their order. */
export function eachOnce(problems: readonly Problem[]): Problem[] {
  const errors = new Set(
    problems.flatMap(({ severity, id, problem }) => (severity === 'error' ? [`${id} ${problem}`] : [])),
  )
  const said = new Set<string>()
  return problems.filter(({ severity, id, problem }) => {
    const text = `${id} ${problem}`
    if (said.has(text) || (severity === 'warning' && errors.has(text))) return false
    said.add(text)
    return true
  })
}
