import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'
import { base, finish, lsnOf, record, segment } from './wal-rows.js'

const sha256 = (text: string) => createHash('sha256').update(text).digest()

describe.each(postgresVersions)('base backups and objects on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const finishing = 'select backup._finish_base($1, $2)'
  const claimed = async () => {
    const jobId = await catalog.value<string>('select backup.start_base()')
    await catalog.rows('select from backup._claim_job()')
    return jobId
  }
  const recordObject = (jobId: string, key: string, content: string) =>
    catalog.rows(
      'select backup._record_object($1, $2, $3, 10, 20, $4)',
      [jobId, 'base_part', key, sha256(content)],
      'walt',
    )

  test('finishing a backup is one step: its row and the end of its job', async () => {
    await record(catalog, 1, [{ number: 3 }, { number: 4 }])
    const jobId = await finish(catalog, 1, 'b1', { from: 3, to: 4, label: 'nightly' })
    const [row] = await catalog.rows('select * from backup.base_backups', [], 'mona')
    expect(row).toMatchObject({
      backup_id: 'b1',
      job_id: jobId,
      label: 'nightly',
      timeline: 1,
      start_lsn: lsnOf(3),
      stop_lsn: lsnOf(4),
      raw_bytes: '5000',
      stored_bytes: '1000',
      parts: 2,
      system_identifier: '1',
      postgres_version_num: 180004,
    })
    const [job] = await catalog.rows('select * from backup.jobs where job_id = $1', [jobId], 'mona')
    expect(job).toMatchObject({ state: 'done', error_code: null, bytes_done: '5000', bytes_total: '5000' })
  })

  test('a backup is finished once, and only while its job runs', async () => {
    await record(catalog, 2, [{ number: 3 }])
    const jobId = await finish(catalog, 2, 'b2', { from: 3, to: 4 })
    const again = base(2, 'b2-again', { from: 3, to: 4 })
    expect(await catalog.error(finishing, [jobId, again])).toMatchObject({ code: 'PB014' })
    expect(await catalog.error(finishing, ['99999', again])).toMatchObject({ code: 'PB002' })

    const canceled = await claimed()
    await catalog.rows('select backup.cancel($1)', [canceled])
    expect(await catalog.error(finishing, [canceled, again])).toMatchObject({ code: 'PB011' })
    expect(await catalog.rows(`select from backup.base_backups where backup_id = 'b2-again'`)).toEqual([])
  })

  test('a cancel that comes after the manifest was stored comes too late', async () => {
    await record(catalog, 3, [{ number: 3 }])
    const worker = await (await catalog.server()).connect({ user: 'walt' })
    await worker.query('select pg_advisory_lock(backup._worker_lock_key())')
    const jobId = await claimed()
    expect(await catalog.value('select backup.cancel($1)', [jobId])).toBe(true)
    await catalog.rows(finishing, [jobId, base(3, 'b3', { from: 3, to: 4 })])
    await worker.end()
    expect(await catalog.value('select state from backup.jobs where job_id = $1', [jobId])).toBe('done')
  })

  test.each(['backup_id', 'stop_lsn', 'stopped_at', 'parts', 'manifest_sha256'])(
    'a description without %s is refused by that name',
    async (name) => {
      const jobId = await claimed()
      const description = { ...base(1, 'lacking', { from: 3, to: 4 }), [name]: undefined }
      const error = await catalog.error(finishing, [jobId, description])
      expect(error).toMatchObject({ code: 'PB001', hint: expect.stringContaining(name) as string })
    },
  )

  test('the next manifest names the one before it, of its own cluster', async () => {
    const previous = (system: number) => catalog.value('select backup._previous_manifest($1)', [system], 'walt')
    await record(catalog, 4, [{ number: 3 }])
    expect(await previous(4)).toBeNull()
    await finish(catalog, 4, 'first', { from: 3, to: 4, stopped: 900 })
    await finish(catalog, 4, 'second', { from: 3, to: 4, stopped: 800 })
    expect(await previous(4)).toEqual(sha256('second'))
    expect(await previous(5)).toBeNull()
  })

  test('an object that was posted twice is recorded once', async () => {
    const jobId = await claimed()
    await recordObject(jobId, 'db1/a', 'x')
    await recordObject(jobId, 'db1/a', 'x')
    expect(await catalog.rows(`select * from backup.objects where key = 'db1/a'`, [], 'mona')).toMatchObject([
      { kind: 'base_part', bytes: '10', raw_bytes: '20', sha256: sha256('x').toString('hex'), job_id: jobId },
    ])
  })

  test('other bytes under a known key are refused', async () => {
    const jobId = await claimed()
    await recordObject(jobId, 'db1/b', 'x')
    await expect(recordObject(jobId, 'db1/b', 'y')).rejects.toMatchObject({
      code: 'PB022',
      message: 'the object db1/b was stored before with other content',
    })
  })

  test('an object that is not described whole, or is of no job, is refused', async () => {
    const jobId = await claimed()
    const text = 'select backup._record_object($1, $2, $3, $4, $5, $6)'
    const whole: unknown[] = [jobId, 'part', 'db1/c', 1, 1, sha256('c')]
    for (const [index, wrong] of [
      [1, ''],
      [2, null],
      [3, 0],
      [4, -1],
      [5, Buffer.from('short')],
    ] as const) {
      expect(await catalog.error(text, whole.with(index, wrong))).toMatchObject({ code: 'PB001' })
    }
    expect(await catalog.error(text, whole.with(0, '99999'))).toMatchObject({ code: 'PB002' })
  })

  test('segments and histories are objects too', async () => {
    await record(catalog, 6, [{ number: 9 }])
    const key = segment({ number: 9 })['key']
    expect(await catalog.rows('select * from backup.objects where key = $1', [key], 'mona')).toMatchObject([
      { kind: 'segment', raw_bytes: '1048576', sha256: segment({ number: 9 })['sha256'], job_id: null },
    ])
    const history = `1\t${lsnOf(9)}\tno recovery target specified\n`
    await catalog.rows('select backup._record_timeline(6, 2, $1, $2)', [history, 'h6'], 'walt')
    expect(await catalog.rows(`select * from backup.objects where key = 'h6'`, [], 'mona')).toMatchObject([
      { kind: 'history', bytes: String(history.length), sha256: sha256(history).toString('hex') },
    ])
  })
})
