import type { S3Client } from '@aws-sdk/client-s3'
import { createHash } from 'node:crypto'
import { formatManifest, type Manifest } from '../../src/box/manifest.js'
import { openArchive, type Archive } from '../../src/keyholder/archive.js'
import { verifyWal } from '../../src/keyholder/verify/verify-contents.js'
import { verifyHome } from '../../src/keyholder/verify/verify-home.js'
import { startS3, type LocalS3 } from './s3/server.js'
import type { Bucket } from './s3/store.js'
import { sdkClient } from './s3/test-grant.js'
import { SyntheticArchive } from './synthetic-archive.js'

/** Servers whose archive is made by hand, to be looked at by verify without a command. */
export class VerifiedArchive {
  made!: SyntheticArchive
  /** the backup that each archive begins with */
  first!: Manifest
  #count = 0

  private constructor(
    readonly s3: LocalS3,
    readonly client: S3Client,
    readonly archive: Archive,
    readonly bucket: Bucket,
  ) {}

  static async start(): Promise<VerifiedArchive> {
    const s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
    const client = sdkClient(s3)
    return new VerifiedArchive(s3, client, openArchive(client, 'b'), s3.bucket('b'))
  }

  async close(): Promise<void> {
    this.client.destroy()
    await this.s3.close()
  }

  /** Another server, with a backup in the first of two segments. */
  begin(): void {
    this.made = new SyntheticArchive(this.bucket, `db${++this.#count}`)
    this.first = this.backUp(22, '0/100028')
    this.wal(1, '0/100000', '0/300000')
  }

  /** A backup of a day of November. `behind`: the one that it names as the one before it. */
  backUp(day: number, start: string, behind: Manifest | null = null, timeline = 1): Manifest {
    const at = `2026-11-${String(day)}T10:0`
    const stop = start.replace(/28$/, 'F0')
    const times = { startedAt: `${at}0:00Z`, stoppedAt: `${at}5:00Z` }
    const previous = behind && createHash('sha256').update(formatManifest(behind)).digest('hex')
    return this.made.backup({ ...times, start, stop, timeline, previous })
  }

  /** Segments from one position up to, and without, another. */
  wal(timeline: number, from: string, to: string): void {
    this.made.clock = () => new Date('2026-11-22T11:00:00Z')
    this.made.segments(timeline, from, to)
    this.made.clock = null
  }

  /** Takes away all keys of the server that hold this text. */
  remove(part: string): void {
    const keys = this.bucket.keys(`${this.made.server}/`).filter((key) => key.includes(part))
    if (keys.length === 0) throw new Error(`no key holds ${part}`)
    for (const key of keys) this.bucket.remove(key)
  }

  /** What verify says, a line each. */
  async verify(deep = false): Promise<string[]> {
    const { problems } = await verifyHome(this.archive, this.made.home, { only: null }, () => Promise.resolve())
    if (deep) problems.push(...(await verifyWal(this.archive, this.made.home, 2, () => undefined)))
    return problems.map(({ severity, problem }) => `${severity}: ${problem}`)
  }

  async errors(deep = false): Promise<string[]> {
    return (await this.verify(deep)).filter((line) => line.startsWith('error: '))
  }
}

export const missing = (timeline: number, from: string, to: string): string =>
  `WAL of timeline ${timeline} is missing from ${from} to ${to}`
