import { createHash } from 'node:crypto'
import { formatManifest } from '../../src/box/manifest.js'
import { formatLsn } from '../../src/wal/lsn.js'
import type { Bucket } from './s3/store.js'
import { SyntheticArchive } from './synthetic-archive.js'

const MB = 1024 * 1024
const HOUR = 3_600_000
const DAY = 24 * HOUR

/** A position so many megabytes, and bytes, from the beginning. */
export const megabyte = (at: number, offset = 0): string =>
  formatLsn(BigInt(Math.round(at)) * BigInt(MB) + BigInt(offset))

/** One server of a fleet: its WAL grows by so many megabytes each day, from 0/1000000 on, `days` ago. */
export class FleetServer {
  readonly made: SyntheticArchive
  #previous: string | null = null

  constructor(
    readonly bucket: Bucket,
    readonly name: string,
    readonly now: Date,
    readonly days: number,
    readonly perDay = 4,
    systemIdentifier = '7000000000000000001',
  ) {
    this.made = new SyntheticArchive(bucket, name, systemIdentifier)
  }

  ago(days: number): Date {
    return new Date(this.now.getTime() - days * DAY)
  }

  /** The segment that is written so many days ago. */
  at(days: number): number {
    return 16 + Math.round((this.days - days) * this.perDay)
  }

  /** A base backup of so many days ago that took half an hour. Its id. */
  backUp(days: number, label?: string, timeline = 1): string {
    this.made.clock = () => this.ago(days)
    const manifest = this.made.backup({
      startedAt: this.ago(days).toISOString(),
      stoppedAt: new Date(this.ago(days).getTime() + HOUR / 2).toISOString(),
      start: megabyte(this.at(days), 40),
      stop: megabyte(this.at(days), 256),
      timeline,
      previous: this.#previous,
      ...(label === undefined ? {} : { label }),
    })
    this.#previous = createHash('sha256').update(formatManifest(manifest)).digest('hex')
    return manifest.backup_id
  }

  /** WAL from so many days ago until so many days ago, each segment stored when it was written. */
  wal(from: number, until = 0, timeline = 1): void {
    const first = this.at(from)
    const count = Math.max(1, this.at(until) - first)
    const storedAt = (index: number) => this.ago(from - ((from - until) * (index + 1)) / count)
    this.made.names(timeline, megabyte(first), count, 30_000, storedAt)
  }

  /** The result of a drill. */
  drill(days: number, backupId: string, ok = true): void {
    this.made.drill(this.ago(days).toISOString(), backupId, ok)
  }
}

/** A text that does harm where it is not escaped. */
export const HOSTILE = `<script>document.title='owned'</script><img src=x onerror="document.title='owned'">"'\u202egnp.\u0007`

/** Servers in every state that "postbox status" tells of. `many`: so many more that are well. */
export function fillFleet(bucket: Bucket, now: Date, many = 0): void {
  const shop = new FleetServer(bucket, 'shop-prod', now, 21, 20)
  const ids = [20, 17, 14, 12, 10, 8, 6, 4, 2, 0.6].map((days) =>
    shop.backUp(days, days === 6 ? 'before the upgrade to 4.0' : undefined),
  )
  for (const days of [18, 11, 4]) shop.made.dump(shop.ago(days).toISOString(), { label: 'weekly' })
  shop.wal(20)
  shop.drill(3, ids[7]!)

  const gap = new FleetServer(bucket, 'billing', now, 21)
  for (const days of [19, 15, 9, 3]) gap.backUp(days)
  gap.wal(19, 12)
  gap.wal(9.5)
  gap.drill(8, '20261113T120000Z-0000')

  const closed = new FleetServer(bucket, 'crm', now, 21)
  for (const days of [16, 7]) closed.backUp(days)
  closed.wal(16, 5)
  closed.wal(2)

  const quiet = new FleetServer(bucket, 'intranet', now, 21)
  const quietId = quiet.backUp(13, HOSTILE)
  quiet.wal(13, 3.4)
  quiet.drill(2, quietId, false)

  const old = new FleetServer(bucket, 'reports', now, 21, 4, '6999999999999999999')
  old.backUp(18)
  old.wal(18, 11)
  const upgraded = new FleetServer(bucket, 'reports', now, 21, 4, '7000000000000000002')
  const upgradedId = upgraded.backUp(10.5, 'after pg_upgrade')
  upgraded.backUp(4)
  upgraded.wal(10.5)
  upgraded.drill(1, upgradedId)

  const promoted = new FleetServer(bucket, 'stock', now, 21)
  for (const days of [15, 8]) promoted.backUp(days)
  promoted.wal(15, 6)
  promoted.made.history(2, [[1, megabyte(promoted.at(6), -1)]])
  promoted.wal(6.25, 0, 2)
  const promotedId = promoted.backUp(1.5, undefined, 2)
  promoted.drill(1, promotedId)

  const long = new FleetServer(bucket, 'warehouse', now, 21, 200)
  for (const days of [20, 13, 6]) long.backUp(days)
  long.wal(20)

  bucket.put('young/7000000000000000001/base/20261122T100000Z-0000/base/x', Buffer.from('x'))
  for (let n = 0; n < many; n++) {
    const one = new FleetServer(bucket, `db${String(n).padStart(3, '0')}`, now, 21)
    one.backUp(14)
    const id = one.backUp(7)
    one.wal(14)
    one.drill(5, id)
  }
}
