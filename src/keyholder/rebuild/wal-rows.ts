import { createHash } from 'node:crypto'
import { walPrefix, type Home } from '../../box/key-names.js'
import type { RebuiltItem, RebuiltSegment } from '../../catalog/rebuild-script.js'
import { PostboxError } from '../../errors.js'
import { lastCommitTime } from '../../wal/commit-times.js'
import { formatLsn, type Lsn } from '../../wal/lsn.js'
import { checkSegment } from '../../wal/page.js'
import { parseSegmentName } from '../../wal/segment.js'
import type { Archive, StoredObject } from '../archive.js'
import { inOrder } from '../in-order.js'
import { accountOf } from '../key-account.js'
import { groupSegments, readSegment, type SegmentContents, type StoredSegment } from '../stored-wal.js'
import { damage } from '../verify/verify-home.js'
import { RunBuilder, type WalRun } from '../wal-chain.js'
import { canBeRow } from './can-be-row.js'
import { LastCommits } from './last-commits.js'
import { SegmentChoices } from './segment-choice.js'

export interface WalToRebuild {
  archive: Archive
  home: Home
  segmentBytes: number
  /** read every segment: its whole hash, and its last commit */
  readAll: boolean
  note: (text: string) => void
}

const READ_AT_ONCE = 4
/** Where two servers parted, one line tells of all segments behind it. */
const NAMED_AT_MOST = 3

/** The rows of WAL. Memory grows with gaps, not with segments. */
export class WalRows {
  /** by timeline: what was taken, without the gaps; known when segments() has ended */
  readonly runs = new Map<number, RunBuilder>()
  #parted = 0

  constructor(readonly wal: WalToRebuild) {}

  /** By one listing. */
  async *segments(): AsyncGenerator<RebuiltSegment> {
    const { readAll } = this.wal
    const complete = (one: Listed) => (readAll && one.row.taken ? this.#read(one) : Promise.resolve(one.row))
    for await (const row of inOrder(this.#listed(), { atOnce: READ_AT_ONCE }, complete)) {
      if (!row) continue
      if (row.taken) this.#runOf(row.timeline).add(row.start)
      yield row
    }
    if (this.#parted > NAMED_AT_MOST) {
      this.wal.note(`suspicious: ${this.#parted} segments are stored by another server too; see "postbox list"`)
    }
  }

  /** Last commits where recovery may end: where WAL ends, and where a timeline was left. Nothing when all was read. */
  async *commits(leftAt: readonly { timeline: number; lsn: Lsn }[]): AsyncGenerator<RebuiltItem> {
    if (this.wal.readAll) return
    const commits = new LastCommits(this.wal)
    for (const [timeline, { runs }] of this.runs) {
      for (const run of runs) yield* commits.before(timeline, run, run.to)
    }
    for (const { timeline, lsn } of leftAt) {
      const run = this.#runOf(timeline).runs.find((one: WalRun) => one.from <= lsn && lsn < one.to)
      if (run) yield* commits.before(timeline, run, lsn)
    }
  }

  #runOf(timeline: number): RunBuilder {
    let runs = this.runs.get(timeline)
    if (!runs) this.runs.set(timeline, (runs = new RunBuilder(this.wal.segmentBytes)))
    return runs
  }

  async *#listed(): AsyncGenerator<Listed> {
    const { segmentBytes } = this.wal
    let timeline = 0
    let choices = new SegmentChoices(segmentBytes)
    for await (const contents of groupSegments(this.#objects())) {
      const segment = this.#placeOf(contents)
      if (!segment) continue
      if (segment.timeline !== timeline) choices = new SegmentChoices(segmentBytes)
      timeline = segment.timeline
      const { taken, others } = choices.choose(segment.start, contents)
      const row = (stored: StoredSegment, isTaken: boolean) => ({
        stored,
        row: this.#row(stored, segment, isTaken),
      })
      if (others.length > 0) this.#noteParting(taken, others)
      if (taken) yield row(taken, true)
      for (const one of others) yield row(one, false)
    }
  }

  async *#objects(): AsyncGenerator<StoredObject> {
    const { archive, home, note } = this.wal
    for await (const object of archive.list(walPrefix(home))) {
      const account = accountOf(home, object.key)
      if (!account) note(`${object.key} has no name that Postbox gives: left out`)
      if (object.storedOver) note(`suspicious: other bytes were stored over ${object.key} later`)
      if (account?.kind === 'segment') yield object
    }
  }

  #placeOf(contents: SegmentContents): { timeline: number; start: Lsn } | null {
    const { name, object } = contents[0]!
    try {
      const place = parseSegmentName(name, this.wal.segmentBytes)
      if (place.timeline > 0 && place.timeline <= 0x7fffffff) return place
    } catch (thrown) {
      if (!(thrown instanceof PostboxError)) throw thrown
    }
    this.wal.note(`suspicious: ${object.key} is no segment of this server: left out`)
    return null
  }

  #row({ object, mark }: StoredSegment, { timeline, start }: Place, taken: boolean): RebuiltSegment {
    const { key, bytes, storedAt } = object
    const sha256 = Buffer.from(mark, 'hex')
    return {
      timeline,
      start,
      segmentBytes: this.wal.segmentBytes,
      bytes,
      sha256,
      lastCommitAt: null,
      storedAt,
      key,
      taken,
    }
  }

  /** Null, and a note, for what is damaged. */
  async #read({ stored, row }: Listed): Promise<RebuiltSegment | null> {
    const { archive, home, segmentBytes, note } = this.wal
    try {
      const raw = await readSegment(archive, stored, segmentBytes)
      checkSegment(raw, row, segmentBytes, home.systemIdentifier)
      const at = lastCommitTime(raw)
      const lastCommitAt = at && canBeRow({ last_commit_at: at.toISOString() }) ? at : null
      return { ...row, sha256: createHash('sha256').update(raw).digest(), lastCommitAt }
    } catch (thrown) {
      note(`the segment at ${formatLsn(row.start)} of timeline ${row.timeline} is left out: ${damage(thrown)}`)
      return null
    }
  }

  #noteParting(taken: StoredSegment | null, others: readonly StoredSegment[]): void {
    this.#parted += 1
    if (this.#parted > NAMED_AT_MOST) return
    const instead = taken ? `${taken.object.key} is taken` : 'it does not follow what is in front of it'
    this.wal.note(`suspicious: another server wrote ${others[0]!.object.key}, which is left out: ${instead}`)
  }
}

interface Place {
  timeline: number
  start: Lsn
}

interface Listed {
  stored: StoredSegment
  row: RebuiltSegment
}
