import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Grant } from '../../src/box/grant.js'
import { openCatalog, type Catalog, type FinishedBase, type SegmentRow } from '../../src/catalog/catalog.js'
import { PostboxError } from '../../src/errors.js'
import { Secret } from '../../src/secret.js'
import { postgresVersions, startPostgres } from '../sandbox/postgres.js'
import { makeGrant } from '../sandbox/s3/test-grant.js'
import { until } from '../sandbox/until.js'
import { installedServer } from './installed-server.js'

const MIB = 1024n * 1024n
const issuer = {
  endpoint: 'http://127.0.0.1:9',
  region: 'us-east-1',
  accessKey: 'AKIDEXAMPLE',
  secretKey: 'secret',
} as const
const sha256 = (text: string) => createHash('sha256').update(text).digest()
const outage = new PostboxError('box_unavailable', 'the box did not answer', 'Wait.')

const segmentRow = (number: number, content = ''): SegmentRow => ({
  timeline: 1,
  start_lsn: BigInt(number) * MIB,
  segment_bytes: Number(MIB),
  key: `db1/s/wal/${number}`,
  bytes: 99,
  sha256: sha256(`${number}${content}`),
  last_commit_at: new Date('2026-01-01T00:00:00.123Z'),
})

const finished = (systemIdentifier: string, from: bigint, to: bigint): FinishedBase => ({
  backup_id: `b-${systemIdentifier}`,
  label: null,
  system_identifier: systemIdentifier,
  timeline: 1,
  start_lsn: from,
  stop_lsn: to,
  started_at: new Date('2026-01-01T00:00:00Z'),
  stopped_at: new Date('2026-01-01T00:01:00Z'),
  raw_bytes: 5_000_000_000,
  stored_bytes: 1_000_000_000,
  parts: 60,
  manifest_key: 'db1/m.json',
  manifest_sha256: sha256(systemIdentifier),
  postgres_version_num: 180004,
})

describe.each(postgresVersions)('the typed catalog on Postgres %i', (version) => {
  const installed = installedServer(version)
  let catalog: Catalog
  beforeAll(async () => {
    catalog = await openCatalog(new Secret((await installed.server()).url({ user: 'walt' })))
  })
  afterAll(() => catalog.close())

  test('settings come with their types, intervals in seconds', async () => {
    expect(await catalog.settings()).toEqual({
      server: null,
      slot: 'postbox',
      compression_level: 1,
      part_bytes: 16 * 1024 ** 2,
      upload_connections: 4,
      upload_rate_limit: 0,
      dump_jobs: 0,
      dump_split_bytes: 1_073_741_824,
      dump_max_duration: 43_200,
      job_max_attempts: 3,
      base_max_age: 8 * 86_400,
      drill_max_age: 31 * 86_400,
      wal_interval: 1,
      wal_keep_limit: 0,
      stream_wal: 'on',
      base_after_gap: 'on',
      wal_max_delay: 300,
      grant_warn_before: 3 * 3600,
    })
  })

  test("the clock is the server's", async () => {
    const before = await installed.value<Date>('select clock_timestamp()')
    const now = await catalog.now()
    const after = await installed.value<Date>('select clock_timestamp()')
    expect(now.getTime()).toBeGreaterThanOrEqual(before.getTime())
    expect(now.getTime()).toBeLessThanOrEqual(after.getTime() + 1)
  })

  test('a job runs from claim to commit, beyond the size of a 32-bit number', async () => {
    expect(await catalog.startWorker('1.2.3')).toBe(0)
    expect(await catalog.claimJob()).toBeNull()
    const jobId = BigInt(await installed.value<string>(`select backup.start_base('it''s', 'spread')`))
    const job = await catalog.claimJob()
    expect(job).toEqual({
      job_id: jobId,
      kind: 'base',
      target: { label: "it's", checkpoint: 'spread' },
      attempt: 1,
    })
    await catalog.reportProgress(jobId, {
      phase: 'copying',
      bytes_done: 5_000_000_000,
      bytes_total: null,
      tables: null,
    })
    expect(await catalog.isCancelRequested(jobId)).toBe(false)
    const object = {
      kind: 'base_part',
      key: 'db1/p',
      bytes: 4_000_000_000,
      raw_bytes: 9_000_000_000,
      sha256: sha256('p'),
    }
    await catalog.recordObject(jobId, object)
    await catalog.recordObject(jobId, object)
    await expect(catalog.recordObject(jobId, { ...object, sha256: sha256('q') })).rejects.toMatchObject({
      code: 'object_conflict',
    })

    const system = await installed.systemIdentifier()
    expect(await catalog.previousManifest(system)).toBeNull()
    await expect(catalog.finishBase(jobId, finished(system, 2n * MIB, 3n * MIB))).rejects.toMatchObject({
      code: 'wal_missing',
      hint: expect.stringContaining('backup.wal_gaps') as string,
    })
    const xid = await catalog.recordSegments(system, [segmentRow(2)])
    expect(xid).toBeGreaterThan(0)
    expect(await catalog.recordSegments(system, [segmentRow(2)])).toBe(0)
    expect(await catalog.coversWal(system, 1, 2n * MIB, 3n * MIB)).toBe(true)
    expect(await catalog.coversWal(system, 1, 2n * MIB, 3n * MIB + 1n)).toBe(false)
    await catalog.finishBase(jobId, finished(system, 2n * MIB, 3n * MIB))
    expect(await catalog.previousManifest(system)).toEqual(sha256(system))
    expect(await installed.rows('select raw_bytes, system_identifier from backup.base_backups')).toEqual([
      { raw_bytes: '5000000000', system_identifier: system },
    ])
    await expect(catalog.finishBase(jobId, finished(system, 2n * MIB, 3n * MIB))).rejects.toMatchObject({
      code: 'job_not_running',
    })
  })

  test('the page is told what can be restored, and which WAL was stored when', async () => {
    const overview = await catalog.overviews.read()
    expect(overview).toMatchObject({
      postgres_version: expect.stringMatching(new RegExp(`^${version}\\.`)) as string,
      windows: [
        { timeline: 1, to_lsn: '0/300000', base_backups: 1, is_current: true, is_own: true, open: true, is_last: true },
      ],
      base_backups: [{ raw_bytes: 5_000_000_000, stopped_at: Date.UTC(2026, 0, 1, 0, 1), restorable: true }],
      base_count: 1,
      dumps: [],
    })
    expect(overview.checks.map(({ name }) => name)).toContain('wal_gap')
    const since = Date.now() - 3_600_000
    const { from, rows } = await catalog.overviews.storedWal(since)
    expect([from, rows.map(({ bytes }) => bytes)]).toEqual([since, [Number(MIB)]])
    expect(await catalog.overviews.storedWal(Date.now() + 3_600_000)).toMatchObject({ rows: [] })
  })

  test('a system identifier of the year 2040 fits', async () => {
    const system = '9564000000000000000'
    await catalog.recordSegments(system, [segmentRow(4)])
    await catalog.recordTimeline(system, 2, '1\t0/500000\tx\n', 'db1/h')
    expect(await catalog.coversWal(system, 1, 4n * MIB, 5n * MIB)).toBe(true)
    expect(await installed.value(`select count(*)::int from backup.wal_coverage where system_identifier < 0`)).toBe(1)
  })

  test('errors of the database come with its code and hint', async () => {
    await catalog.recordSegments('5', [segmentRow(2)])
    await expect(catalog.recordSegments('5', [segmentRow(2, 'other')])).rejects.toMatchObject({
      code: 'wal_conflict',
      retryable: false,
      hint: expect.stringContaining('split brain') as string,
    })
    await expect(catalog.recordTimeline('5', 2, 'garbage', 'k')).rejects.toMatchObject({ code: 'bad_argument' })
    await expect(catalog.endCanceled(4711n)).rejects.toMatchObject({ code: 'bad_argument' })
  })

  test('failures and cancellations reach the row', async () => {
    await installed.rows('select backup.start_base()')
    const job = (await catalog.claimJob())!
    expect(await catalog.failJob(job.job_id, outage, true)).toBe('queued')
    expect((await catalog.claimJob())?.attempt).toBe(2)
    await installed.rows('select backup.cancel($1)', [String(job.job_id)])
    expect(await catalog.isCancelRequested(job.job_id)).toBe(true)
    await catalog.endCanceled(job.job_id)
    // No database can hold the second word, and few encodings the third.
    const foreign = new PostboxError('box_refused', 'caf\u00e9 \0 \u2192', 'Wait.')
    await installed.rows('select backup.start_base()')
    const other = (await catalog.claimJob())!.job_id
    expect(await catalog.failJob(other, foreign, false)).toBe('failed')
    expect(await installed.value('select error_message from backup.jobs where job_id = $1', [String(other)])).toBe(
      'cafe ? ?',
    )
    await catalog.reportProblem('box', foreign)
    await catalog.reportProblem('box', outage)
    await catalog.reportProblem('box', outage)
    expect(await installed.value('select worker_error_code from backup.status')).toBe('box_unavailable')
    await catalog.reportProblem('box', null)
    expect(await installed.value('select worker_error_code from backup.status')).toBeNull()
  })

  test('a grant goes in and comes out as it was signed', async () => {
    expect(await catalog.currentGrant()).toBeNull()
    const grant: Grant = await makeGrant(issuer, { server: 'db1', bucket: 'b' })
    expect(await catalog.installGrant(grant)).toEqual(new Date(grant.expires_at))
    expect(await catalog.currentGrant()).toEqual(grant)
    const other = await makeGrant(issuer, { server: 'db2', bucket: 'b' })
    const refusal = await catalog.installGrant(other).catch((error: unknown) => error as PostboxError)
    expect(refusal).toMatchObject({ code: 'grant_invalid', hint: expect.stringContaining('db1') as string })
    for (const secret of [other.fields['policy']!, other.fields['x-amz-signature']!]) {
      expect(JSON.stringify([refusal, (refusal as Error).message])).not.toContain(secret)
    }
  })

  test('a row that is not as agreed is an error, not a guess', async () => {
    await installed.rows(`create or replace function backup._start_worker(version text) returns integer
      language sql set search_path = pg_catalog, pg_temp as $$ select null::integer $$`)
    await expect(catalog.startWorker('1')).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('requeued') as string,
    })
  })

  test('a lost session is replaced', async () => {
    await installed.rows(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'postbox catalog'`,
    )
    await until('the catalog answers again', () => catalog.now())
  })
})

describe('opening the catalog', () => {
  const installed = installedServer()
  const open = async (options: { user?: string; database?: string }) => {
    const url = new Secret((await installed.server()).url(options))
    await (await openCatalog(url)).close()
  }

  test('fails by what the operator can do about it', async () => {
    const server = await installed.server()
    await installed.rows('create database empty')
    await expect(open({ database: 'empty' })).rejects.toMatchObject({ code: 'catalog_missing', retryable: false })
    await expect(open({ database: 'nothing' })).rejects.toMatchObject({ code: 'database_refused' })
    await expect(open({ user: 'stranger' })).rejects.toMatchObject({ code: 'database_refused' })
    await expect(open({ user: 'nora' })).rejects.toMatchObject({ code: 'catalog_refused' })
    await open({ user: 'walt' })
    const tls = new Secret(`${server.url()}?sslmode=verify-full`)
    await expect(openCatalog(tls)).rejects.toMatchObject({ code: 'database_refused' })
    await server.stop()
    await expect(open({ user: 'walt' })).rejects.toMatchObject({ code: 'database_unavailable', retryable: true })
    await expect(openCatalog(new Secret('postgresql://127.0.0.1:5432:1/x'))).rejects.toMatchObject({
      code: 'config_invalid',
    })
  })

  test('says that a password is wrong or missing', async () => {
    const server = await startPostgres({ hba: 'host all all 127.0.0.1/32 scram-sha-256' })
    await server.query(`create role walt login password 'right'`)
    for (const password of ['wrong', undefined]) {
      const url = new Secret(server.url(password === undefined ? { user: 'walt' } : { user: 'walt', password }))
      await expect(openCatalog(url)).rejects.toMatchObject({
        code: 'database_refused',
        hint: expect.stringContaining('password') as string,
      })
    }
    await server.remove()
  })
})
