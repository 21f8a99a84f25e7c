import { lstat, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseSegmentKey } from '../../src/box/key-names.js'
import { parseLsn } from '../../src/wal/lsn.js'
import { parseSegmentName } from '../../src/wal/segment.js'
import { diffSnapshots, snapshotRows } from '../sandbox/compare.js'
import { ArchiveMaker } from '../sandbox/make-archive.js'
import { removeScratch, sandboxOwned, scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { promoted, Restores } from '../sandbox/restored.js'
import { run } from '../sandbox/run.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { until } from '../sandbox/until.js'

let s3: LocalS3

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'other' }] })
})

afterAll(async () => {
  await s3.close()
  await removeScratch()
})

describe('a restore of an unusual cluster', () => {
  let restores: Restores

  afterAll(() => restores.remove())

  async function restoreOf(initdb: string[], settings: Record<string, string> = {}) {
    const server = `unusual-${initdb.join('').replace(/[^a-z0-9]/g, '')}`
    const postgres = await startPostgres({ initdb, settings: { wal_keep_size: '1GB', ...settings } })
    try {
      const made = await ArchiveMaker.open(postgres, s3.bucket('other'), server)
      if (settings['allow_in_place_tablespaces']) {
        await postgres.query(`create tablespace inside location ''`)
        await postgres.query('create table inside tablespace inside as select generate_series(1, 100) n')
      }
      await made.backUp()
      await postgres.query('create table kept as select n from generate_series(1, 50000) n')
      await made.storeWal()
      restores = new Restores(s3, 'other', 18, server)
      const recovered = await restores.recover()
      expect(diffSnapshots(await snapshotRows(postgres), await snapshotRows(recovered), { recovered: true })).toEqual(
        [],
      )
      return recovered
    } finally {
      await postgres.remove()
    }
  }

  test('that its group may read stays so', async () => {
    const { dataDir } = await restoreOf(['--allow-group-access'])
    expect((await stat(dataDir)).mode & 0o777).toBe(0o750)
    expect((await stat(join(dataDir, 'PG_VERSION'))).mode & 0o777).toBe(0o640)
  })

  test('with a tablespace inside its data directory recovers', async () => {
    const recovered = await restoreOf([], { allow_in_place_tablespaces: 'on' })
    expect(await recovered.query('select count(*)::int n from inside')).toEqual([{ n: 100 }])
  })
})

test('a server whose WAL lies elsewhere, and a tablespace behind links to links, are restored whole', async () => {
  const postgres = await startPostgres({ settings: { wal_keep_size: '1GB' } })
  const restores = new Restores(s3, 'other', 18, 'links')
  try {
    await postgres.stop()
    const elsewhere = await scratchDir('elsewhere')
    const [wal, real, link, second] = ['wal', 'real', 'link', 'second'].map((name) => join(elsewhere, name))
    await run('mv', [join(postgres.dataDir, 'pg_wal'), wal!])
    await symlink(wal!, join(postgres.dataDir, 'pg_wal'))
    await writeFile(join(wal!, 'a file of somebody else'), 'x'.repeat(1000))
    await sandboxOwned(real!)
    await symlink(real!, link!)
    await symlink(link!, second!)
    await postgres.start()
    await postgres.query(`create tablespace linked location '${second!}'`)
    await postgres.query('create table kept tablespace linked as select n from generate_series(1, 50000) n')
    const made = await ArchiveMaker.open(postgres, s3.bucket('other'), 'links')
    const { archives } = await made.backUp()
    await postgres.query('insert into kept values (0)')
    await made.storeWal()
    const space = archives.find(({ tablespace }) => tablespace !== 'base')!
    expect(space.location).toBe(second)
    const place = join(await scratchDir('space'), 'place')
    const dataDir = await restores.restore(['--tablespace', `${space.tablespace}=${place}`])
    expect(await readdir(join(dataDir, 'pg_wal'))).not.toContain('a file of somebody else')
    expect((await lstat(join(dataDir, 'pg_wal'))).isDirectory()).toBe(true)
    const recovered = await restores.start(dataDir)
    await promoted(recovered)
    expect(diffSnapshots(await snapshotRows(postgres), await snapshotRows(recovered), { recovered: true })).toEqual([])
  } finally {
    await restores.remove()
    await postgres.remove()
  }
})

describe('a restore of a backup that ends exactly where a segment ends', () => {
  const server = 'boundary'
  const SEGMENT = 1024 * 1024
  /** of the record that ends a backup: 24 bytes of header, 2 of its data's, 8 of data, in whole words of 8 bytes */
  const LAST_RECORD = 40
  let postgres: SandboxPostgres
  let restores: Restores

  beforeAll(async () => {
    const settings = { wal_keep_size: '1GB', autovacuum: 'off' }
    postgres = await startPostgres({ version: 17, initdb: ['--wal-segsize=1'], settings })
    restores = new Restores(s3, 'other', 17, server)
  })
  afterAll(async () => {
    await restores.remove()
    await postgres.remove()
  })

  /** Writes WAL until a segment has room for the last record of a backup and no more. */
  async function fillSegment(): Promise<void> {
    const write = async (bytes: number): Promise<number> => {
      const sql = `select pg_logical_emit_message(false, 'x', repeat('x', $1)) - '0/0'::pg_lsn as at`
      await postgres.query(sql, [bytes])
      const [row] = await postgres.query<{ at: string }>(`select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as at`)
      return Number(row!.at)
    }
    await until('the segment is full', async () => {
      let at = await write(300)
      const left = () => SEGMENT - (at % SEGMENT) - LAST_RECORD
      if (left() > 8000) at = await write(left() - 7000)
      // On the last page of the segment bytes go by bytes, but for the head of each record.
      const before = at
      at = await write(300)
      const head = at - before - 300
      at = await write(left() - head)
      return left() === 0
    })
  }

  test('needs that segment and no other', async () => {
    const made = await ArchiveMaker.open(postgres, s3.bucket('other'), server)
    await postgres.query('create table kept as select n from generate_series(1, 1000) n')
    // Whatever else writes WAL meanwhile moves the end.
    const manifest = await until('a backup ends there', async () => {
      const one = await made.backUp({ meanwhile: fillSegment })
      return parseLsn(one.stop_lsn) % BigInt(SEGMENT) === 0n ? one : null
    })
    const stop = parseLsn(manifest.stop_lsn)
    const starts = (key: string) => parseSegmentName(parseSegmentKey(key)!.name, SEGMENT).start
    const segments = s3.bucket('other').keys(`${server}/`).filter(parseSegmentKey)
    for (const key of segments.filter((one) => starts(one) >= stop)) s3.bucket('other').remove(key)
    const target = ['--backup', manifest.backup_id, '--target', 'immediate']
    const recovered = await restores.recover(target)
    expect(await recovered.query('select count(*)::int n from kept')).toEqual([{ n: 1000 }])

    s3.bucket('other').remove(segments.find((one) => starts(one) === stop - BigInt(SEGMENT))!)
    const { code, stderr } = await restores.attempt(target)
    expect([code, stderr]).toEqual([1, expect.stringContaining('(wal_missing)')])
  })
})
