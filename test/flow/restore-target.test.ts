import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ArchiveMaker } from '../sandbox/make-archive.js'
import { removeScratch, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { promoted, Restores } from '../sandbox/restored.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { until } from '../sandbox/until.js'

/** The moment after a row was committed. */
interface Mark {
  lsn: string
  xid: string
  /** microseconds are kept */
  time: string
}

let s3: LocalS3
let postgres: SandboxPostgres
let made: ArchiveMaker
let restores: Restores
const marks: Record<string, Mark> = {}

/** Commits one row, and notes where that was. */
async function mark(server: SandboxPostgres, label: string): Promise<void> {
  const client = await server.connect()
  await client.query('begin')
  await client.query('insert into marked values ($1)', [label])
  const { rows: ids } = await client.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
  await client.query('commit')
  const { rows } = await client.query<Omit<Mark, 'xid'>>(
    `select pg_current_wal_insert_lsn()::text as lsn,
       to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`,
  )
  marks[label] = { ...rows[0]!, xid: ids[0]!.xid }
  await client.query("select pg_create_restore_point('after ' || $1)", [label])
  await client.end()
}

async function labels(server: SandboxPostgres): Promise<string> {
  const [row] = await server.query<{ all: string }>("select string_agg(label, ' ' order by label) as all from marked")
  return row!.all
}

const recovered = async (args: readonly string[]): Promise<string> => labels(await restores.recover(args))

// Rows a and b, a backup, rows c and d, a second backup, rows e and f.
beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
  postgres = await startPostgres({ settings: { wal_keep_size: '1GB' } })
  made = await ArchiveMaker.open(postgres, s3.bucket('b'))
  restores = new Restores(s3, 'b')
  await postgres.query('create table marked (label text)')
  await mark(postgres, 'a')
  await mark(postgres, 'b')
  await made.backUp({ label: 'first' })
  await mark(postgres, 'c')
  await mark(postgres, 'd')
  // Names of backups that begin in one second do not tell which came first.
  const second = () => Math.floor(Date.now() / 1000)
  const now = second()
  await until('the next second has begun', () => second() > now)
  await made.backUp({ label: 'second' })
  await mark(postgres, 'e')
  await mark(postgres, 'f')
  await made.storeWal()
})

afterAll(async () => {
  await restores.remove()
  await postgres.remove()
  await s3.close()
  await removeScratch()
})

describe('recovery', () => {
  test('to the end gives everything that was stored', async () => {
    expect(await recovered([])).toBe('a b c d e f')
  })

  test('stops as soon as the backup is whole', async () => {
    expect(await recovered(['--target', 'immediate'])).toBe('a b c d')
  })

  test('stops at a time, and picks the backup before it', async () => {
    expect(await recovered(['--target', `time=${marks.c!.time}`])).toBe('a b c')
    expect(await recovered(['--target', `time=${marks.e!.time}`])).toBe('a b c d e')
  })

  test('stops at a position, and picks the backup before it', async () => {
    expect(await recovered(['--target', `lsn=${marks.c!.lsn}`])).toBe('a b c')
    expect(await recovered(['--target', `lsn=${marks.e!.lsn}`, '--exclusive'])).toBe('a b c d e')
  })

  test('stops at a transaction, with it or right before it', async () => {
    expect(await recovered(['--target', `xid=${marks.e!.xid}`])).toBe('a b c d e')
    expect(await recovered(['--target', `xid=${marks.f!.xid}`, '--exclusive'])).toBe('a b c d e')
  })

  test('stops at a restore point, in an older backup where that is named', async () => {
    expect(await recovered(['--target', 'name=after e'])).toBe('a b c d e')
    const { stdout } = await restores.attempt(['--target', `lsn=${marks.c!.lsn}`, '--json'])
    const { backup_id } = JSON.parse(stdout) as { backup_id: string }
    expect(await recovered(['--target', 'name=after c', '--backup', backup_id])).toBe('a b c')
  })

  test('to the last commit that the list shows gives everything', async () => {
    const { stdout } = await restores.attempt(['--dry-run', '--json'])
    const { last_commit_at } = JSON.parse(stdout) as { last_commit_at: string }
    expect(await recovered(['--target', `time=${last_commit_at}`])).toBe('a b c d e f')
  })

  test('waits at its target when told to pause', async () => {
    const dataDir = await restores.restore(['--target', `lsn=${marks.e!.lsn}`, '--target-action', 'pause'])
    const server = await restores.start(dataDir)
    await until('recovery is paused', async () => {
      const [row] = await server.query<{ state: string }>('select pg_get_wal_replay_pause_state() as state')
      return row!.state === 'paused'
    })
    expect(await labels(server)).toBe('a b c d e')
    await server.query('select pg_wal_replay_resume()')
    await promoted(server)
    expect(await labels(server)).toBe('a b c d e')
  })
})

describe('a target that cannot be reached is refused before anything is written:', () => {
  test.each([
    ['a time before the first backup', () => `time=${marks.a!.time}`, /is before the first backup that can be used/],
    ['a position before the first backup', () => `lsn=${marks.a!.lsn}`, /is before the first backup that can be used/],
    ['a time after the last commit', () => 'time=2999-01-01T00:00:00Z', /is after the last stored commit, of 20/],
    ['a position behind the end', () => 'lsn=FF/0', /is beyond the stored WAL, which ends at/],
  ])('%s', async (_, target, message) => {
    const { code, stderr } = await restores.attempt(['--target', target()])
    expect(code).toBe(1)
    expect(stderr).toMatch(message)
    expect(stderr).toContain('(target_unreachable)')
  })
})

describe('after a recovery', () => {
  test('the new timeline is followed, and the old one when it is asked for', async () => {
    const server = await restores.recover(['--target', `lsn=${marks.e!.lsn}`])
    expect(await labels(server)).toBe('a b c d e')
    await mark(server, 'g')
    const second = await ArchiveMaker.open(server, s3.bucket('b'))
    await second.storeWal()

    expect(await recovered([])).toBe('a b c d e g')
    expect(await recovered(['--target-timeline', '1'])).toBe('a b c d e f')
    expect(await recovered(['--target', `lsn=${marks.g!.lsn}`])).toBe('a b c d e g')
    expect(await recovered(['--target', `time=${marks.c!.time}`])).toBe('a b c')

    // a backup of the new timeline, and WAL after it
    await second.backUp({ label: 'third' })
    await mark(server, 'h')
    await second.storeWal()
    expect(await recovered([])).toBe('a b c d e g h')
  })
})
