import { tailsPrefix, walPrefix, type Home } from '../../box/key-names.js'
import { PostboxError } from '../../errors.js'
import { parseSegmentName, type Segment } from '../../wal/segment.js'
import { inOrder } from '../in-order.js'
import { asObject, type StoredKey, type StoredObject } from '../object-versions.js'
import { walSegments, type SegmentContents } from '../stored-wal.js'
import type { DeletableArchive } from './deletable-archive.js'
import { deletionOf, type Deletion } from './deletion.js'
import { accountOf, type Account } from '../key-account.js'
import { heldTails } from './spent-tails.js'
import { SETTLED_MS, type WalNeeds } from './wal-needs.js'

const READ_AT_ONCE = 4

/**
 * WAL and tails of one life that can go, each with the reason: first tails, then segments, in their order.
 *
 * History files stay as long as the life does.
 */
export async function* walDeletions(
  archive: DeletableArchive,
  home: Home,
  needs: WalNeeds,
  now: Date,
): AsyncGenerator<Deletion> {
  if (needs.isSpent || needs.segmentBytes !== null) yield* tailDeletions(archive, home, needs, now)
  for await (const stored of archive.keys(walPrefix(home))) {
    const account = accountOf(home, stored.key)
    const first = earliest(stored)
    if (!first) continue
    if (account?.kind === 'history' && needs.isSpent) yield deletionOf(stored, account, SPENT)
    if (account?.kind !== 'segment') continue
    const because = needs.isSpent ? SPENT : spentAt(needs, account.name, first)
    if (because !== null) yield deletionOf(stored, account, because)
  }
}

const SPENT = 'no backup of this life of the server is kept'
type TailAccount = Account & { kind: 'tail' }

/** The tails of one segment. */
interface TailGroup {
  name: string
  tails: { stored: StoredKey; account: TailAccount; storedAt: Date }[]
  /** what is stored under the segment's name */
  contents: SegmentContents
}

async function* tailDeletions(
  archive: DeletableArchive,
  home: Home,
  needs: WalNeeds,
  now: Date,
): AsyncGenerator<Deletion> {
  const judge = (group: TailGroup) => judged(archive, needs, group, now)
  for await (const deletions of inOrder(tailGroups(archive, home), { atOnce: READ_AT_ONCE }, judge)) yield* deletions
}

async function judged(
  archive: DeletableArchive,
  needs: WalNeeds,
  { name, tails, contents }: TailGroup,
  now: Date,
): Promise<Deletion[]> {
  const { segmentBytes } = needs
  if (needs.isSpent) return tails.map(({ stored, account }) => deletionOf(stored, account, SPENT))
  const deletions: Deletion[] = []
  const left: TailGroup['tails'] = []
  for (const tail of tails) {
    const because = spentAt(needs, name, tail.storedAt)
    if (because === null) left.push(tail)
    else deletions.push(deletionOf(tail.stored, tail.account, because))
  }
  const [only, other] = contents
  const settled = left.filter(({ storedAt }) => now.getTime() - storedAt.getTime() >= SETTLED_MS)
  if (settled.length === 0 || segmentBytes === null || !only || other) return deletions
  if (now.getTime() - only.object.storedAt.getTime() < SETTLED_MS) return deletions
  const marks = settled.map(({ stored: { key }, account: { previous, to, mark } }) => ({ key, previous, to, mark }))
  const held = await heldTails(archive, only, segmentBytes, marks)
  for (const { stored, account } of settled) {
    if (held.has(stored.key))
      deletions.push(deletionOf(stored, account, 'its segment is stored whole and holds its bytes'))
  }
  return deletions
}

/** Tails segment by segment, each with what is stored of that whole. Both listings are in the order of names. */
async function* tailGroups(archive: DeletableArchive, home: Home): AsyncGenerator<TailGroup> {
  const groups: TailGroup[] = []
  const listings: WholeSegments[] = []
  for await (const stored of archive.keys(tailsPrefix(home))) {
    const account = accountOf(home, stored.key)
    const storedAt = earliest(stored)
    if (account?.kind !== 'tail' || !storedAt) continue
    const { name, timeline } = account
    if (groups[0]?.name !== name) {
      if (groups[0]) yield groups.shift()!
      if (listings[0]?.timeline !== timeline) {
        await listings.shift()?.close()
        listings.push(new WholeSegments(archive, home, timeline, name))
      }
      groups.push({ name, tails: [], contents: await listings[0]!.find(name) })
    }
    groups[0]!.tails.push({ stored, account, storedAt })
  }
  yield* groups
  await listings[0]?.close()
}

/** Looks segments up in one listing of a timeline; names must be asked for in their order. */
class WholeSegments {
  readonly #segments: AsyncGenerator<SegmentContents>
  #at: SegmentContents | null = null
  #ended = false

  constructor(
    archive: DeletableArchive,
    home: Home,
    readonly timeline: number,
    from: string,
  ) {
    this.#segments = walSegments(archive, home, timeline, from)
  }

  async find(name: string): Promise<SegmentContents> {
    while (!this.#ended && (this.#at === null || this.#at[0]!.name < name)) {
      const next = await this.#segments.next()
      if (next.done) this.#ended = true
      else this.#at = next.value
    }
    return this.#at?.[0]?.name === name ? this.#at : []
  }

  async close(): Promise<void> {
    await this.#segments.return(undefined)
  }
}

function spentAt(needs: WalNeeds, name: string, storedAt: Date): string | null {
  const segment = needs.segmentBytes === null ? null : segmentOf(name, needs.segmentBytes)
  return segment && needs.spent(segment, storedAt)
}

/** Null for a name that fits another size of segments. */
function segmentOf(name: string, segmentBytes: number): Segment | null {
  try {
    return parseSegmentName(name, segmentBytes)
  } catch (thrown) {
    if (thrown instanceof PostboxError) return null
    throw thrown
  }
}

/** When the version that readers take was stored; of a key that somebody hid, its first; null for mere markers. */
function earliest(stored: StoredKey): Date | null {
  const object: StoredObject | null = asObject({ ...stored, markers: [] })
  return object?.storedAt ?? null
}
