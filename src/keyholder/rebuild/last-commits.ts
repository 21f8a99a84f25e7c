import type { RebuiltItem } from '../../catalog/rebuild-script.js'
import { lastCommitTime } from '../../wal/commit-times.js'
import { formatLsn, type Lsn } from '../../wal/lsn.js'
import { segmentName } from '../../wal/segment.js'
import { findSegment, readSegment } from '../stored-wal.js'
import { damage } from '../verify/verify-home.js'
import type { WalRun } from '../wal-chain.js'
import { canBeRow } from './can-be-row.js'
import type { WalToRebuild } from './wal-rows.js'

/** An idle server writes segments without a commit; a server that was idle for longer than that is looked at no further. */
const READ_AT_MOST = 200

/** Finds the last commit before a position by reading segments backwards from it. */
export class LastCommits {
  readonly #told = new Set<string>()

  constructor(readonly wal: WalToRebuild) {}

  /** @param run what is stored around `lsn`, which is the end of a segment or of a run */
  async *before(timeline: number, run: WalRun, lsn: Lsn): AsyncGenerator<RebuiltItem> {
    const { segmentBytes, note } = this.wal
    const size = BigInt(segmentBytes)
    let start = lsn - (lsn % size) - size
    for (let read = 0; start >= run.from; start -= size, read += 1) {
      const name = segmentName({ timeline, start }, segmentBytes)
      if (this.#told.has(name)) return
      this.#told.add(name)
      if (read === READ_AT_MOST) {
        note(
          `when the last commit before ${formatLsn(lsn)} of timeline ${timeline} was is not known: --read-wal finds it`,
        )
        return
      }
      const at = await this.#lastCommitIn(name)
      if (!at) continue
      yield { kind: 'commit', item: { timeline, start_lsn: formatLsn(start), last_commit_at: at.toISOString() } }
      return
    }
  }

  async #lastCommitIn(name: string): Promise<Date | null> {
    const { archive, home, segmentBytes, note } = this.wal
    const [first] = await findSegment(archive, home, name)
    if (!first) return null
    try {
      const at = lastCommitTime(await readSegment(archive, first, segmentBytes))
      return at && canBeRow({ last_commit_at: at.toISOString() }) ? at : null
    } catch (thrown) {
      note(damage(thrown))
      return null
    }
  }
}
