import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeSegments } from '../faults/observe.js'
import { promote } from '../faults/promote.js'
import { dumpEnv, startDump } from '../faults/dumped-server.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { postbox, postboxOk } from '../sandbox/command.js'
import { plainEnv } from '../sandbox/run.js'

const bin = await clientPrograms()

let backedUp: BackedUpServer

/** What a catalog shows, less what no bucket can tell: numbers of jobs, and when rows were written to the millisecond. */
const VIEWS = {
  base_backups: `select to_jsonb(b) - 'job_id' as row from backup.base_backups b order by b.backup_id`,
  dumps: `select to_jsonb(d) - 'job_id' - 'finished_at' as row from backup.dumps d order by d.dump_id`,
  recovery_windows: `select to_jsonb(w) as row from backup.recovery_windows w order by w.backup_id, w.timeline`,
  wal_coverage: `select to_jsonb(c) as row from backup.wal_coverage c order by c.timeline, c.from_lsn`,
  wal_gaps: `select to_jsonb(g) - 'reason' - 'found_at' as row from backup.wal_gaps g order by g.timeline, g.from_lsn`,
  drills: `select to_jsonb(d) - 'drill_id' as row from backup.drills d order by d.finished_at`,
  status: `select jsonb_build_object('base', s.last_base_id, 'at', s.last_base_at, 'segment', s.last_segment,
    'drill', s.last_drill_at) as row from backup.status s`,
  jobs: `select to_jsonb(j.*) - array['job_id', 'rate', 'started_at', 'created_at', 'ended_at', 'bytes_total',
    'bytes_done', 'tables_done', 'tables_total', 'attempts'] as row from backup.jobs j order by j.kind, j.label`,
  objects: `select to_jsonb(o) - 'job_id' - 'stored_at' - 'sha256'
    || jsonb_build_object('sha256', case when o.kind = 'segment' then left(o.sha256, 12) else o.sha256 end) as row
    from backup.objects o order by o.key`,
}

async function viewsOf(database: string): Promise<Record<keyof typeof VIEWS, unknown[]>> {
  const client = await backedUp.postgres.connect({ database })
  try {
    const shown: [string, unknown[]][] = []
    for (const [name, query] of Object.entries(VIEWS)) {
      const { rows } = await client.query<{ row: unknown }>(query)
      shown.push([name, rows.map(({ row }) => row)])
    }
    return Object.fromEntries(shown) as Record<keyof typeof VIEWS, unknown[]>
  } finally {
    await client.end()
  }
}

/** Another database of the same server, with an empty catalog: it has the server's system identifier. */
async function emptyCatalog(name: string): Promise<string> {
  await backedUp.postgres.query(`create database ${name}`)
  const url = backedUp.postgres.url({ database: name })
  await postboxOk(['install', '--database-url', url], {})
  return url
}

const rebuild = (args: readonly string[]) =>
  postbox(['rebuild-catalog', '--server', 'db1', ...args], backedUp.keyholderEnv)

/** Runs SQL as a person would: through a pipe. */
async function psql(url: string, input: string): Promise<{ code: number; stderr: string }> {
  const child = spawn(join(bin!, 'psql'), ['-qX', '-d', url], { env: plainEnv, stdio: ['pipe', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number]
  return { code, stderr }
}

interface Rebuilt {
  rows: { what: string; rows: number }[]
  notes: string[]
}

beforeAll(async () => {
  backedUp = await BackedUpServer.start({
    initdb: ['--wal-segsize=1'],
    ...(bin === null ? {} : { workerEnv: dumpEnv(bin) }),
  })
  const { postgres, bucket } = backedUp
  await postgres.query('create table written (n int)')
  await backedUp.backUp('first')
  await postgres.query('insert into written values (1)')
  await writeSegments(backedUp, 2)
  await backedUp.storeAllWal()
  if (bin !== null) {
    await postgres.query('grant pg_read_all_data to postbox_worker')
    expect(await backedUp.ended(await startDump(backedUp))).toMatchObject({ state: 'done' })
  }
  await backedUp.worker.stop()
  await promote(postgres)
  await backedUp.resume()
  await postgres.query('insert into written values (2)')
  await backedUp.backUp('a "quote" and \\n')
  await writeSegments(backedUp, 2)
  await backedUp.storeAllWal()
  const [drilled] = await postgres.query<{ backup_id: string; system_identifier: string }>(
    'select backup_id, system_identifier::text from backup.base_backups order by backup_id limit 1',
  )
  const drill = {
    ...{ postbox_drill: 1, server: 'db1', ...drilled, target: 'latest', ok: true, problem: null, checks: [] },
    ...{ started_at: '2026-11-22T10:00:00Z', finished_at: '2026-11-22T10:05:00Z', postgres_version_num: 180004 },
    ...{ restore_seconds: 1.5, recovery_seconds: 2, restored_bytes: 3 },
  }
  await postgres.query('select backup._record_drill($1)', [JSON.stringify(drill)])
  bucket.put('.postbox/drill/db1/20261122T100500Z-x.json', Buffer.from(JSON.stringify(drill)))
  // Rows that are written together with the last segment come a moment later.
  await backedUp.storeAllWal()
  await backedUp.worker.stop()
}, 120_000)

afterAll(() => backedUp.remove())

describe('postbox rebuild-catalog', () => {
  test('fills an empty catalog with what the one of the server shows, and a second time changes nothing', async () => {
    const url = await emptyCatalog('again')
    const { code, stdout, stderr } = await rebuild(['--database-url', url, '--json'])
    expect(code, stderr).toBe(0)
    const { rows, notes } = JSON.parse(stdout) as Rebuilt
    expect(notes).toEqual([])
    expect(rows).toContainEqual({ what: 'base backups', rows: 2 })
    const original = await viewsOf('postgres')
    expect(await viewsOf('again')).toEqual(original)
    expect(original).toMatchObject({ base_backups: [{}, {}], recovery_windows: [{}, {}, {}], drills: [{}] })
    expect(original.dumps).toHaveLength(bin === null ? 0 : 1)
    const second = JSON.parse((await rebuild(['--database-url', url, '--json', '--forget-missing'])).stdout) as Rebuilt
    expect(second.rows.filter((row) => row.rows > 0)).toEqual([])
    expect(await viewsOf('again')).toEqual(await viewsOf('postgres'))
  })

  test.skipIf(bin === null)('prints the same for psql, and with --read-wal the whole hashes too', async () => {
    const url = await emptyCatalog('printed')
    const { code, stdout, stderr } = await rebuild(['--read-wal'])
    expect(code, stderr).toBe(0)
    // Cut off it does nothing, also where it was cut between two rows.
    const half = stdout.slice(0, stdout.lastIndexOf('\n', stdout.length / 2) + 1)
    await psql(url, half)
    expect((await viewsOf('printed')).base_backups).toEqual([])
    expect(await psql(url, stdout)).toEqual({ code: 0, stderr: '' })
    expect(await psql(url, stdout)).toEqual({ code: 0, stderr: '' })
    expect(await viewsOf('printed')).toEqual(await viewsOf('postgres'))
    const hashes = `select start_lsn, timeline, sha256, last_commit_at from backup._wal_segment order by 2, 1`
    const client = await backedUp.postgres.connect({ database: 'printed' })
    const { rows } = await client.query(hashes)
    await client.end()
    expect(rows).toEqual(await backedUp.postgres.query(hashes))
  })

  test('keeps what the catalog has, and completes one that was set back', async () => {
    const url = await emptyCatalog('completed')
    await rebuild(['--database-url', url])
    const client = await backedUp.postgres.connect({ database: 'completed' })
    const kept =
      await client.query(`delete from backup._base_backup where label <> 'first'; delete from backup._wal_range;
      delete from backup._wal_segment where timeline = 2; delete from backup._timeline`)
    expect(kept).toBeDefined()
    await rebuild(['--database-url', url])
    const jobs = await client.query(`select from backup.jobs where label = 'first'`)
    await client.end()
    expect(jobs.rowCount).toBe(1)
    const { recovery_windows, base_backups, wal_coverage } = await viewsOf('postgres')
    expect(await viewsOf('completed')).toMatchObject({ recovery_windows, base_backups, wal_coverage })
  })

  test('takes away, when asked, what the bucket no longer has', async () => {
    const url = await emptyCatalog('pruned')
    await rebuild(['--database-url', url])
    const client = await backedUp.postgres.connect({ database: 'pruned' })
    try {
      await client.query(`insert into backup._base_backup
        select '20260101T000000Z-aaaa', backup._rebuild_job('base', 'gone', now() - interval '9 d', now() - interval '9 d', 1),
               'gone', system_identifier, 1, '0/100000', '0/100000', now() - interval '9 d', now() - interval '9 d', 1, 1, 1,
               replace(manifest_key, backup_id, '20260101T000000Z-aaaa'), manifest_sha256, 180004, now() - interval '9 d'
        from backup._base_backup limit 1`)
      await client.query(
        `select backup._record_segments((select min(system_identifier) from backup._wal_segment), $1)`,
        [
          JSON.stringify([
            {
              ...{
                timeline: 1,
                start_lsn: '0/100000',
                segment_bytes: 1048576,
                key: 'gone',
                bytes: 1,
                last_commit_at: null,
              },
              sha256: '0'.repeat(64),
            },
          ]),
        ],
      )
      await client.query(`update backup._wal_segment set stored_at = now() - interval '9 d' where key = 'gone'`)
      const { stdout } = await rebuild(['--database-url', url, '--json'])
      expect((JSON.parse(stdout) as Rebuilt).rows.filter((row) => row.rows > 0)).toEqual([])
      expect((await viewsOf('pruned')).base_backups).toHaveLength(3)
      await rebuild(['--database-url', url, '--forget-missing'])
      const views = await viewsOf('pruned')
      // Jobs are history, and stay.
      expect(views).toEqual({ ...(await viewsOf('postgres')), jobs: views.jobs })
    } finally {
      await client.end()
    }
  })

  test('refuses another life of the server, and a name under which nothing is stored', async () => {
    const url = await emptyCatalog('other')
    const systemIdentifier = '7000000000000000001'
    backedUp.bucket.put(`db1/${systemIdentifier}/wal/00000002.history-000000000000`, Buffer.from('x'))
    const args = ['--system', systemIdentifier, '--database-url', url]
    const { code, stderr } = await rebuild(args)
    expect([code, stderr]).toEqual([1, expect.stringContaining('the rows are of') as string])
    expect((await rebuild(['--system', '1', '--database-url', url])).stderr).toContain('(backup_missing)')
  })

  test('names what a dishonest writer has put there, and takes nothing of it', async () => {
    const { bucket } = backedUp
    const url = await emptyCatalog('forged')
    const manifest = bucket.keys().find((key) => key.includes('/base/') && key.includes('/manifest-'))!
    const [home] = /^db1\/\d+\//.exec(manifest)!
    const forged = '20261101T000000Z-f0f0'
    bucket.put(`${manifest.split('/manifest-')[0]!}/manifest-000000000000.json`, Buffer.from('{}'))
    bucket.put(`${home}base/${forged}/manifest-000000000000.json`, Buffer.from('{}'))
    bucket.put(`${home}copy/wal/00000001/000000010000000000000001-000000000000.zst`, Buffer.from('x'))
    bucket.put(`${home}wal/00000001/notes.txt`, Buffer.from('x'))
    bucket.put(`${home}wal/00000009.history-000000000000`, Buffer.from('x'))
    const { stdout } = await rebuild(['--database-url', url, '--json'])
    const notes = (JSON.parse(stdout) as Rebuilt).notes.join('\n')
    for (const named of [forged, 'copy/', 'notes.txt', '00000009.history', 'manifest-000000000000.json']) {
      expect(notes).toContain(named)
    }
    expect(await viewsOf('forged')).toEqual(await viewsOf('postgres'))
  })
})
