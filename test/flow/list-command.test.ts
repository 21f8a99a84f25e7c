import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { keyholderEnv, postbox } from '../sandbox/command.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

let s3: LocalS3
let incomplete: string

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }, { name: 'empty' }] })
  const made = new SyntheticArchive(s3.bucket('b'), 'db1')
  const stoppedAt = '2026-11-22T10:05:00Z'
  const label = 'before\u001b[31m upgrade'
  made.backup({ startedAt: '2026-11-22T10:00:00Z', stoppedAt, start: '0/100028', stop: '0/100100', label })
  made.segment(1, '0/100000', ['2026-11-22T10:30:00.500Z'])
  made.segment(1, '0/300000', ['2026-11-22T11:00:00Z'])
  incomplete = '20261122T120000Z-0000'
  s3.bucket('b').put(`db1/${made.home.systemIdentifier}/base/${incomplete}/base/x`, Buffer.from('x'))
  made.dump('2026-11-22T13:00:00.250Z', { label: 'for tests', masked: true, whole: false })
  made.dump('2026-11-22T12:30:00.000Z', { database: 'some', whole: false })
  made.dump('2026-11-22T12:00:00.000Z', { warnings: ['pg_dump: warning: subscriptions not dumped'] })
  s3.bucket('b').put(`db1/${made.home.systemIdentifier}/dump/20261122T140000Z-0000/pre-data/x`, Buffer.from('x'))
  new SyntheticArchive(s3.bucket('b'), 'db2').segment(1, '0/100000')
})

afterAll(() => s3.close())

const list = (args: readonly string[] = [], bucket = 'b') => postbox(['list', ...args], keyholderEnv(s3, bucket))

describe('postbox list', () => {
  test('shows a table of one server: windows, gaps and what is unfinished', async () => {
    const { code, stdout } = await list(['--server', 'db1'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/2026-11-22T10:05:00Z +2026-11-22T10:30:00\.500000Z/)
    expect(stdout).toContain('gap: WAL of timeline 1 is missing from 0/200000 to 0/300000')
    expect(stdout).toContain(`${incomplete}: it has no manifest`)
    expect(stdout).not.toContain('db2')
  })

  test('shows dumps, newest first: what they hold, of when they are, and which are unfinished', async () => {
    const { stdout } = await list(['--server', 'db1'])
    const from = stdout.slice(stdout.indexOf('  dump '))
    expect(
      from
        .split('\n')
        .slice(0, 5)
        .map((line) => line.trim().split(/ {2,}/)),
    ).toEqual([
      ['dump', 'label', 'state', 'holds', 'database', 'size', 'stored', 'snapshot at', 'LSN'],
      ['20261122T140000Z-0000', 'incomplete'],
      [
        expect.anything(),
        'for tests',
        'restorable',
        'masked',
        'shop',
        '6 B',
        '15 B',
        '2026-11-22T13:00:00Z',
        '0/100200',
      ],
      [expect.anything(), 'restorable', 'part', 'some', '6 B', '15 B', '2026-11-22T12:30:00Z', '0/100200'],
      [expect.anything(), 'restorable', 'whole', 'shop', '6 B', '15 B', '2026-11-22T12:00:00Z', '0/100200'],
    ])
    expect(stdout).toContain('20261122T140000Z-0000: it has no manifest: running, or never finished')
    expect(stdout).toMatch(/\n {2}20261122T120000Z-\w+: pg_dump: warning: subscriptions not dumped\n/)
    const { servers } = JSON.parse((await list(['--json'])).stdout) as { servers: { dumps: object[] }[] }
    expect(servers.map(({ dumps }) => dumps.length)).toEqual([4, 0])
    expect(servers[0]!.dumps[1]).toMatchObject({ state: 'restorable', masked: true, whole: false, tables: 0, rows: 0 })
  })

  test('lets no label speak to the terminal', async () => {
    const { stdout } = await list(['--server', 'db1'])
    expect(stdout).toContain('before?[31m upgrade')
    expect(stdout).not.toContain('\u001b')
  })

  test('shows every server in the bucket, and none where there is none', async () => {
    const { servers } = JSON.parse((await list(['--json'])).stdout) as { servers: { server: string }[] }
    expect(servers.map((one) => one.server)).toEqual(['db1', 'db2'])
    expect(JSON.parse((await list(['--json'], 'empty')).stdout)).toEqual({ servers: [], probe: null })
    expect((await list([], 'empty')).stdout).toContain('no server has stored anything in this bucket\n')
  })

  test('fails for a server that has nothing in the bucket', async () => {
    const { code, stderr } = await list(['--server', 'db3'])
    expect(code).toBe(1)
    expect(stderr).toContain('nothing is stored for server db3 (backup_missing)')
  })
})
