import fc from 'fast-check'
import { backupPrefix, parseSegmentKey, previousOfFirst, parseHistoryKey, type Home } from '../../src/box/key-names.js'
import { formatLsn } from '../../src/wal/lsn.js'
import type { Bucket } from '../sandbox/s3/store.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

const MB = 1024n * 1024n
const HOUR = 3_600_000

/** One thing that happens to a server that is backed up. */
export type Happening =
  | { kind: 'write'; segments: number; hours: number; tails: boolean }
  | { kind: 'backup'; segments: number; hours: number; finished: boolean }
  | { kind: 'lose'; hours: number }
  | { kind: 'promote'; hours: number; oldGoesOn: number }
  | { kind: 'split'; segments: number; hours: number }
  | { kind: 'upgrade'; hours: number }
  | { kind: 'dump'; hours: number }
  /** a drill proves the newest backup */
  | { kind: 'drill'; hours: number }
  /** somebody with a grant posts a backup of another life that looks good */
  | { kind: 'forge'; hours: number }
  /** and a second manifest for one of the backups */
  | { kind: 'doubt'; hours: number; which: number }

const hours = fc.integer({ min: 1, max: 60 })
const few = fc.integer({ min: 1, max: 3 })
const kind = <K extends string>(name: K) => fc.constant(name)

export const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: kind('write'), segments: few, hours, tails: fc.boolean() }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: kind('backup'),
      segments: few,
      hours,
      finished: fc.integer({ max: 9, min: 0 }).map((n) => n > 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kind('lose'), hours }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('promote'), hours, oldGoesOn: fc.integer({ min: 0, max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('split'), segments: few, hours }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('upgrade'), hours }) },
  { weight: 2, arbitrary: fc.record({ kind: kind('dump'), hours }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('drill'), hours }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('forge'), hours }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('doubt'), hours, which: fc.nat(20) }) },
)

/** A backup that was finished. */
export interface MadeBackup {
  home: Home
  id: string
  storedAt: Date
  /** it has a second manifest */
  doubtful: boolean
  /** a drill found it good */
  proved: boolean
}

/** A server whose archive is written as a worker would, without bytes that could be replayed. */
export class ServerHistory {
  made: SyntheticArchive
  readonly lives: SyntheticArchive[] = []
  /** when each transaction that can be restored to was committed, oldest first */
  readonly commits: Date[] = []
  /** oldest first; prune may have deleted them */
  readonly backups: MadeBackup[] = []
  #forged: SyntheticArchive | null = null
  #forgedAt = MB
  #timeline = 1
  #highest = 1
  #at = MB
  #mark: string | null = null
  #switches: [number, string][] = []

  /** @param now the archive's clock, moved by advance() */
  constructor(
    readonly bucket: Bucket,
    readonly server: string,
    public now: Date,
    readonly advance: (ms: number) => void,
  ) {
    this.made = this.#newLife()
  }

  happen(what: Happening): void {
    this.now = new Date(this.now.getTime() + what.hours * HOUR)
    this.advance(what.hours * HOUR)
    switch (what.kind) {
      case 'write':
        for (let n = 0; n < what.segments; n++) this.#write(what.tails)
        break
      case 'backup':
        this.#backUp(what.segments, what.finished)
        break
      case 'lose':
        this.#at += MB
        this.#mark = null
        break
      case 'promote':
        this.#promote(what.oldGoesOn)
        break
      case 'split':
        this.#split(what.segments)
        break
      case 'upgrade':
        this.made = this.#newLife()
        break
      case 'drill':
        this.#drill()
        break
      case 'forge':
        this.#forge()
        break
      case 'doubt':
        this.#doubt(what.which)
        break
      default:
        this.made.dump(this.now.toISOString())
    }
  }

  #newLife(): SyntheticArchive {
    const made = new SyntheticArchive(this.bucket, this.server, `700000000000000000${this.lives.length + 1}`)
    made.clock = () => this.now
    this.lives.push(made)
    this.#timeline = this.#highest = 1
    this.#at = MB
    this.#mark = null
    this.#switches = []
    return made
  }

  /** One whole segment with a commit, after its tails if asked for. */
  #write(tails = false): void {
    this.commits.push(this.now)
    const times = [this.now.toISOString()]
    if (tails) this.made.tails(this.#timeline, formatLsn(this.#at), [8192, 65_536], times, { previous: this.#mark })
    const key = this.made.segment(this.#timeline, formatLsn(this.#at), times, { previous: this.#mark })
    this.#mark = parseSegmentKey(key)!.sha12
    this.#at += MB
  }

  #backUp(segments: number, finished: boolean): void {
    const start = formatLsn(this.#at + 40n)
    const timeline = this.#timeline
    for (let n = 0; n < segments; n++) this.#write()
    const stop = formatLsn(this.#at - MB + 256n)
    const times = { startedAt: this.now.toISOString(), stoppedAt: this.now.toISOString() }
    const manifest = this.made.backup({ ...times, timeline, start, stop })
    if (finished) this.#finished(this.made, manifest.backup_id)
    else for (const key of this.manifestsOf({ home: this.made.home, id: manifest.backup_id })) this.bucket.remove(key)
  }

  manifestsOf({ home, id }: Pick<MadeBackup, 'home' | 'id'>): string[] {
    return this.bucket.keys(`${backupPrefix(home, id)}manifest-`)
  }

  #finished({ home }: SyntheticArchive, id: string): void {
    this.backups.push({ home, id, storedAt: this.now, doubtful: false, proved: false })
  }

  #drill(): void {
    const newest = this.backups.findLast(({ home }) => home === this.made.home)
    if (!newest || newest.doubtful || this.manifestsOf(newest).length === 0) return
    newest.proved = true
    this.made.drill(this.now.toISOString(), newest.id)
  }

  #forge(): void {
    if (!this.#forged) {
      this.#forged = new SyntheticArchive(this.bucket, this.server, '7999999999999999999')
      this.#forged.clock = () => this.now
      this.lives.push(this.#forged)
    }
    const [start, stop] = [formatLsn(this.#forgedAt + 40n), formatLsn(this.#forgedAt + 256n)]
    const times = { startedAt: this.now.toISOString(), stoppedAt: this.now.toISOString() }
    this.#forged.segment(1, start)
    this.#forgedAt += MB
    this.#finished(this.#forged, this.#forged.backup({ ...times, start, stop }).backup_id)
  }

  #doubt(which: number): void {
    const there = this.backups.filter((one) => this.manifestsOf(one).length > 0)
    const one = there[which % there.length]
    if (!one) return
    one.doubtful = true
    this.bucket.put(`${backupPrefix(one.home, one.id)}manifest-0123456789ab.json`, Buffer.from('{}'), {
      storedAt: this.now,
    })
  }

  /** The unfinished segment is left in the middle; the old primary may go on without knowing. */
  #promote(oldGoesOn: number): void {
    const old = { timeline: this.#timeline, at: this.#at, mark: this.#mark }
    this.made.tails(this.#timeline, formatLsn(this.#at), [8192], [this.now.toISOString()], { previous: this.#mark })
    this.#switches = [...this.#switches, [this.#timeline, formatLsn(this.#at + 8192n)]]
    this.#timeline = ++this.#highest
    const key = this.made.history(this.#timeline, this.#switches)
    for (let n = 0; n < oldGoesOn; n++) {
      const at = formatLsn(old.at + BigInt(n) * MB)
      const segment = this.made.segment(old.timeline, at, [this.now.toISOString()], { previous: old.mark })
      old.mark = parseSegmentKey(segment)!.sha12
    }
    this.#mark = previousOfFirst(this.#mark, parseHistoryKey(key)!.sha12)
    this.#write()
  }

  /** Another server writes the same names with other bytes, and ends. */
  #split(segments: number): void {
    let mark = this.#mark
    for (let n = 0; n < segments; n++) {
      const at = formatLsn(this.#at + BigInt(n) * MB)
      const other = new Date(this.now.getTime() - 1000).toISOString()
      mark = parseSegmentKey(this.made.segment(this.#timeline, at, [other, other], { previous: mark }))!.sha12
    }
    for (let n = 0; n < segments; n++) this.#write()
  }
}
