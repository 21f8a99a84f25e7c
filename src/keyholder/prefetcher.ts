import { watch } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Home } from '../box/key-names.js'
import { asPostboxError } from '../errors.js'
import type { Archive } from './archive.js'
import { fetchWalFile } from './fetch-wal.js'
import { ReusedMemory } from './reused-memory.js'
import { postmasterPid, type Spool } from './spool.js'
import { walSegments, type SegmentContents, type StoredSegment } from './stored-wal.js'
import type { UnpackThreads } from './unpack-threads.js'
import { WalAnswers, type WalAnswer } from './wal-answers.js'
import type { WalChoice } from './wal-choice.js'

export interface PrefetchOptions {
  archive: Archive
  home: Home
  spool: Spool
  threads: UnpackThreads
  /** of the server that recovers; the prefetcher ends with it */
  dataDir: string
  /** name of the segment that Postgres has just got */
  after: string
  segmentBytes: number
  /** segments to keep in the spool */
  ahead: number
  /** as for fetch-wal */
  choice: WalChoice | null
}

const SEGMENT = /^[0-9A-F]{24}$/
const TICK_MS = 500
const TOUCH_MS = 5_000
const IDLE_MS = 60_000
/** How long the end of the archive is watched for more. */
const AT_END_MS = 15_000
const MAX_AT_ONCE = 4
/** Raw and stored bytes in memory are at most about twice this. */
const MAX_RAW_BYTES = 64 * 1024 * 1024

/** Keeps the next segments of a recovery in its spool. Returns when nobody needs them any more. */
export async function prefetch(options: PrefetchOptions): Promise<void> {
  if (!(await options.spool.lock())) return
  const prefetcher = new Prefetcher(options)
  const answers = await WalAnswers.open(options.spool.socket, (name) => prefetcher.answer(name))
  try {
    await prefetcher.run()
  } catch (error) {
    // The spool goes away when recovery ends.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  } finally {
    await answers?.close()
    await options.spool.unlock()
  }
}

class Prefetcher {
  /** where Postgres is: a segment it has got */
  #position: string
  #lastMove = Date.now()
  #wantedAt = 0
  #touchedAt = 0
  /** what follows the position in the archive, as listed */
  #upcoming: AsyncGenerator<SegmentContents>
  /** the listing has come to its end, at this time */
  #endedAt: number | null = null
  readonly #fetching = new Map<string, Promise<boolean>>()
  /** what is fetched because somebody waits for it and it was not under way */
  readonly #asked = new Set<string>()
  #answers = 0
  #spooled = new Set<string>()
  #failed: unknown = null
  #stirred = Promise.withResolvers<undefined>()
  readonly #atOnce: number
  readonly #memory = new ReusedMemory()

  constructor(readonly options: PrefetchOptions) {
    this.#position = options.after
    this.#upcoming = this.#list()
    this.#atOnce = Math.max(1, Math.min(MAX_AT_ONCE, Math.floor(MAX_RAW_BYTES / options.segmentBytes)))
  }

  async run(): Promise<void> {
    const { spool } = this.options
    // Not for what we write ourselves, or each turn would cause the next.
    const watcher = watch(spool.directory, (_, name) => {
      if (name === 'wanted' || SEGMENT.test(name ?? '')) this.#stir()
    })
    watcher.on('error', () => this.#stir())
    try {
      while (await this.#needed()) {
        if (Date.now() - this.#touchedAt > TOUCH_MS) await this.#touch()
        await this.#look()
        await this.#fill()
        if (this.#failed) throw this.#failed
        await this.#pause()
      }
    } finally {
      watcher.close()
      await Promise.allSettled(this.#fetching.values())
    }
  }

  /** Brings what was asked for because the spool does not have it. Rejects as the archive does. */
  async answer(name: string): Promise<WalAnswer> {
    this.#lastMove = Date.now()
    if (this.#spooled.has(name) || (await this.#fetching.get(name))) return { take: name, warnings: [] }
    const { archive, home, spool, choice } = this.options
    // A name of its own each time: whoever asked before may be dead, and its answer still under way.
    const take = spool.asked(++this.#answers)
    await spool.remove(spool.asked(this.#answers - 1))
    const warnings: string[] = []
    const warn = (text: string) => void warnings.push(text)
    this.#asked.add(name)
    try {
      const bytes = await fetchWalFile({ archive, home, name, warn, choice }, spool.pathOf(take))
      if (bytes === null) return { take: null, warnings }
      if (SEGMENT.test(name)) await spool.want(name)
      return { take, warnings }
    } catch (error) {
      this.#noteFailure(error)
      throw error
    } finally {
      this.#asked.delete(name)
    }
  }

  async #needed(): Promise<boolean> {
    if ((await postmasterPid(this.options.dataDir)) === null) return false
    const atEnd = this.#endedAt !== null && this.#spooled.size === 0
    return Date.now() - this.#lastMove < (atEnd ? AT_END_MS : IDLE_MS)
  }

  async #touch(): Promise<void> {
    this.#touchedAt = Date.now()
    await this.options.spool.touch()
  }

  /** Finds out where Postgres has got to: by what left the spool, and by what it asked for elsewhere. */
  async #look(): Promise<void> {
    const { spool } = this.options
    const before = [...this.#spooled]
    const ready = new Set(await spool.ready())
    const taken = before.filter((name) => !ready.has(name)).sort()
    this.#spooled = ready
    const last = taken.at(-1)
    if (last !== undefined) {
      this.#position = last
      this.#lastMove = Date.now()
    }
    const wanted = await spool.wanted()
    if (wanted && wanted.at !== this.#wantedAt) {
      this.#wantedAt = wanted.at
      this.#lastMove = Date.now()
      if (wanted.name !== this.#position) this.#moveTo(wanted.name)
    }
    await this.#removeStale()
  }

  /** Recovery went on elsewhere: at an earlier segment, on another timeline, or past what we had. */
  #moveTo(name: string): void {
    this.#position = name
    this.#upcoming = this.#list()
    this.#endedAt = null
  }

  /** What Postgres will not ask for any more only takes up room. */
  async #removeStale(): Promise<void> {
    const timeline = this.#position.slice(0, 8)
    for (const name of this.#spooled) {
      if (name.startsWith(timeline) && name > this.#position) continue
      await this.options.spool.remove(name)
      this.#spooled.delete(name)
    }
  }

  async #fill(): Promise<void> {
    const { ahead, choice } = this.options
    const now = Date.now()
    if (this.#endedAt !== null && now - this.#endedAt > AT_END_MS / 3) this.#upcoming = this.#list()
    while (this.#fetching.size < this.#atOnce && this.#fetching.size + this.#spooled.size < ahead) {
      const next = await this.#upcoming.next()
      if (next.done) {
        this.#endedAt ??= now
        return
      }
      this.#endedAt = null
      const { name } = next.value[0]!
      if (name <= this.#position || this.#spooled.has(name) || this.#isUnderWay(name)) continue
      const segment = choice ? choice.segment(name, next.value) : next.value[0]!
      if (!segment) continue
      await this.options.spool.claim(name)
      const fetching = this.#fetch(segment).finally(() => {
        this.#fetching.delete(name)
        this.#stir()
      })
      this.#fetching.set(name, fetching)
    }
  }

  #isUnderWay(name: string): boolean {
    return this.#fetching.has(name) || this.#asked.has(name)
  }

  /** Makes a segment ready. Resolves to whether it is. */
  async #fetch(segment: StoredSegment): Promise<boolean> {
    const { archive, home, spool, threads } = this.options
    const { name, mark, object } = segment
    const memory = this.#memory.take(object.bytes)
    try {
      const { length: bytes } = await archive.read(object, Buffer.from(memory))
      const { systemIdentifier } = home
      await threads.unpack({ memory, bytes, key: object.key, mark, name, systemIdentifier, to: spool.claimed(name) })
      await spool.publish(name)
      this.#spooled.add(name)
      return true
    } catch (error) {
      await spool.dropClaim(name)
      this.#noteFailure(error)
      return false
    } finally {
      this.#memory.give(memory)
    }
  }

  /** A damaged segment is fetch-wal's to report, when Postgres comes to it; the rest ends this process. */
  #noteFailure(error: unknown): void {
    const { code } = asPostboxError(error)
    if (code === 'object_damaged' || code === 'wal_invalid') return
    this.#failed ??= error
    this.#stir()
  }

  #list(): AsyncGenerator<SegmentContents> {
    const { archive, home } = this.options
    const timeline = Number.parseInt(this.#position.slice(0, 8), 16)
    return walSegments(archive, home, timeline, this.#position)
  }

  #stir(): void {
    this.#stirred.resolve(undefined)
  }

  async #pause(): Promise<void> {
    const timer = new AbortController()
    await Promise.race([this.#stirred.promise, delay(TICK_MS, undefined, { signal: timer.signal }).catch(() => null)])
    timer.abort()
    this.#stirred = Promise.withResolvers()
  }
}
