import type { S3Client } from '@aws-sdk/client-s3'
import { locateParts } from '../../src/keyholder/fetch-parts.js'
import { listHome } from '../../src/keyholder/list-server.js'
import { openDeletableArchive, type DeletableArchive } from '../../src/keyholder/prune/deletable-archive.js'
import { prune } from '../../src/keyholder/prune/prune.js'
import type { PruneReport } from '../../src/keyholder/prune/prune-report.js'
import type { Retention } from '../../src/keyholder/prune/retention-schema.js'
import { backups } from '../../src/keyholder/stored-backups.js'
import { startS3, type LocalS3 } from './s3/server.js'
import { sdkClient } from './s3/test-grant.js'
import { SyntheticArchive } from './synthetic-archive.js'

const DAY = 86_400_000
const NOW = Date.now()
export const ago = (days: number): Date => new Date(NOW - days * DAY)
export const NO_RULE = { days: 0, weeks: 0, months: 0, years: 0, hold: [] }

/** The newest two base backups stay, and all dumps. */
export const LAST_2 = {
  backups: { ...NO_RULE, last: 2, forSeconds: 86_400 },
  dumps: null,
  pointInTimeSeconds: null,
  incompleteAfterSeconds: 7 * 86_400,
} satisfies Retention

/** Backups that are old enough to be pruned, of one server after the other, and prune itself. */
export class PrunableArchive {
  made!: SyntheticArchive
  archive!: DeletableArchive
  #count = 0

  private constructor(
    readonly s3: LocalS3,
    readonly client: S3Client,
  ) {}

  /** With the buckets `versioned`, `plain` and `locked`. Close it. */
  static async start(): Promise<PrunableArchive> {
    const s3 = await startS3({
      buckets: [{ name: 'versioned', versioned: true }, { name: 'plain' }, { name: 'locked', lock: true }],
    })
    return new PrunableArchive(s3, sdkClient(s3))
  }

  async close(): Promise<void> {
    this.client.destroy()
    await this.s3.close()
  }

  /** Another server, with a backup every ten days, of two segments each, the last ten days ago; WAL without a gap. */
  fill(bucket = 'versioned'): string[] {
    this.made = new SyntheticArchive(this.s3.bucket(bucket), `db${++this.#count}`)
    this.archive = openDeletableArchive(this.client, bucket, { patienceMs: 1 })
    return [1, 2, 3, 4].map((n) => this.backUp(n, 10 * (5 - n)))
  }

  /** Backup `n` of so many days ago, in segments 4n and 4n + 1, and WAL up to the next one. */
  backUp(n: number, days: number, parent: string | null = null): string {
    const { made } = this
    made.clock = () => ago(days)
    const megabyte = (at: number, offset = '00000') => `0/${at.toString(16).toUpperCase()}${offset}`
    const lsn = { start: megabyte(4 * n, '00028'), stop: megabyte(4 * n + 1, '00100') }
    const times = { startedAt: ago(days).toISOString(), stoppedAt: ago(days).toISOString() }
    const { backup_id } = made.backup({ ...times, ...lsn, parent })
    made.segments(1, megabyte(4 * n), megabyte(4 * n + 4))
    return backup_id
  }

  run(retention: Partial<Retention> = {}, confirm = true, drop: string[] = []): Promise<PruneReport> {
    return prune(this.archive, { server: this.made.server, retention: { ...LAST_2, ...retention }, drop, confirm })
  }

  /** Keys of the server, those under delete markers too. */
  stored(): string[] {
    return this.made.bucket.allKeys.filter((key) => key.startsWith(`${this.made.server}/`))
  }

  storedWal(): string[] {
    return this.stored().filter((key) => key.includes('/wal/'))
  }

  /** Ids, oldest first. */
  async restorable(): Promise<string[]> {
    const { backups: listed } = await listHome(this.archive, this.made.home)
    const whole = listed.filter(({ state }) => state === 'restorable')
    return whole.map(({ backup_id }) => backup_id).sort()
  }

  /** What has a manifest and not all its parts and its WAL: nothing, or a test fails. */
  async halfDeleted(): Promise<string[]> {
    for await (const backup of backups(this.archive, this.made.home)) {
      if (backup.state === 'committed') await locateParts(this.archive, this.made.home, backup.manifest)
    }
    const { backups: listed } = await listHome(this.archive, this.made.home)
    const half = listed.filter(({ state }) => state !== 'restorable' && state !== 'incomplete')
    return half.map(({ backup_id }) => backup_id)
  }
}

export const actions = ({ lives }: PruneReport): Record<string, string> =>
  Object.fromEntries(lives.flatMap(({ decisions }) => decisions.map(({ id, action }) => [id, action])))

export const becauseOf = ({ lives }: PruneReport, id: string): string =>
  lives
    .flatMap(({ decisions }) => decisions)
    .find((one) => one.id === id)!
    .because.join('; ')
