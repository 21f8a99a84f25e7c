import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { keyholderEnv, postbox, type CommandResult } from '../sandbox/command.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'
import { SyntheticArchive } from '../sandbox/synthetic-archive.js'

let s3: LocalS3
const undo: (() => void)[] = []

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
})

afterEach(() => {
  for (const one of undo.splice(0)) one()
})

afterAll(async () => {
  await s3.close()
  await removeScratch()
})

describe('fetch-wal', () => {
  const SEGMENT = '000000010000000000000001'
  let made: SyntheticArchive
  let directory: string
  let count = 0

  beforeEach(async () => {
    made = new SyntheticArchive(s3.bucket('b'), `single${++count}`)
    made.segments(1, '0/100000', '0/300000')
    made.history(10, [[1, '0/200000']])
    directory = await scratchDir('wal')
  })

  const fetch = (file: string, more: readonly string[] = [], env = keyholderEnv(s3, 'b')): Promise<CommandResult> => {
    const where = ['--server', made.server, '--system-identifier', made.home.systemIdentifier, '--retry-for', '1s']
    return postbox(['fetch-wal', ...where, ...more, file, join(directory, 'RECOVERYXLOG')], env)
  }

  test('puts a segment and a history file where Postgres wants them', async () => {
    expect(await fetch(SEGMENT)).toMatchObject({ code: 0, stdout: '', stderr: '' })
    const segment = await readFile(join(directory, 'RECOVERYXLOG'))
    expect([segment.length, segment.readUInt32LE(4), segment.readBigUInt64LE(8)]).toEqual([1024 * 1024, 1, 0x100000n])
    expect((await fetch('0000000A.history')).code).toBe(0)
    expect(await readFile(join(directory, 'RECOVERYXLOG'), 'utf8')).toContain('0/200000')
    expect(await readdir(directory)).toEqual(['RECOVERYXLOG'])
  })

  test.each([
    ['a segment that is not stored', '000000010000000000000009'],
    ['a timeline that is not stored', '000000020000000000000001'],
    ['a history that is not stored', '00000002.history'],
    ['a backup label', `${SEGMENT}.00000028.backup`],
    ['a partial segment', `${SEGMENT}.partial`],
  ])('ends with 1 and writes nothing for %s', async (_, file) => {
    expect(await fetch(file)).toMatchObject({ code: 1, stderr: '' })
    expect(await readdir(directory)).toEqual([])
  })

  test('takes nothing for a file whose name only begins like that of one', async () => {
    const missing = '000000010000000000000009'
    const mark = '0123456789ab'
    const names = [
      `${missing}.00000028.backup-${mark}.zst`,
      `${missing}.partial-${mark}.zst`,
      `${missing}-${mark}.zst.tmp`,
      `${missing}-${mark.slice(1)}.zst`,
      `${missing}-${mark}-${mark}-${mark}.zst`,
      `${missing}0-${mark}.zst`,
      `${missing}-${mark}/${missing}-${mark}.zst`,
    ]
    for (const name of names) s3.bucket('b').put(made.walPrefix(1) + name, Buffer.from('no WAL'))
    s3.bucket('b').put(made.walPrefix(1).replace(/0{7}1\/$/, `00000002.history.old-${mark}`), Buffer.from('no history'))
    for (const file of [missing, `${missing}.00000028.backup`, `${missing}.partial`, '00000002.history']) {
      expect(await fetch(file)).toMatchObject({ code: 1, stderr: '' })
    }
    expect(await readdir(directory)).toEqual([])
  })

  test.each([
    ['the archive is away', () => s3.fail({ times: 1_000, fault: { kind: 'down' } }), 'archive_unavailable'],
    [
      'the archive fails',
      () => s3.fail({ times: 1_000, fault: { kind: 'status', status: 500 } }),
      'archive_unavailable',
    ],
    [
      'the key may not read',
      () => s3.fail({ times: 1_000, fault: { kind: 'status', status: 403, code: 'AccessDenied' } }),
      'archive_refused',
    ],
    [
      'the object is damaged',
      () => s3.bucket('b').corrupt(s3.bucket('b').keys(made.walPrefix(1))[0]!),
      'object_damaged',
    ],
    [
      'the object is another segment',
      () =>
        s3
          .bucket('b')
          .corrupt(s3.bucket('b').keys(made.walPrefix(1))[0]!, () =>
            s3.bucket('b').get(s3.bucket('b').keys(made.walPrefix(1))[1]!),
          ),
      'object_damaged',
    ],
  ])('ends with 255 when %s, which stops recovery', async (_, harm, code) => {
    undo.push(harm() ?? (() => undefined))
    const failed = await fetch(SEGMENT)
    expect(failed.code).toBe(255)
    expect(failed.stderr).toContain(`(${code})`)
    expect(await readdir(directory)).toEqual([])
  })

  test.each([
    ['an option is unknown', ['--unknown'], {}],
    ['the bucket is not there', ['--bucket', 'nowhere', '--region', 'us-east-1', '--path-style'], {}],
    ['nothing is stored of the server', ['--server', 'other'], {}],
    ['there is no S3 key', [], { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_EC2_METADATA_DISABLED: 'true' }],
    ['no bucket is named', [], { POSTBOX_BUCKET: '' }],
  ] as [string, string[], Record<string, string>][])('ends with 255 when %s', async (_, more, env) => {
    const endpoint = more.includes('--bucket') ? ['--endpoint', s3.endpoint] : []
    const failed = await fetch('000000010000000000000009', [...more, ...endpoint], { ...keyholderEnv(s3, 'b'), ...env })
    expect(failed.code).toBe(255)
    expect(failed.stderr).toMatch(/^postbox: .*\nhint: /)
  })

  test('joins a segment from its tails, zeros behind them, and only while it is not stored whole', async () => {
    const unfinished = '000000010000000000000003'
    made.tails(1, '0/300000', [100, 8000], ['2026-11-22T10:00:00Z'])
    const { code, stderr } = await fetch(unfinished)
    expect([code, stderr.trim()]).toEqual([
      0,
      `postbox: warning: ${unfinished} is not stored whole; its tails hold it up to 0/301F40`,
    ])
    const joined = await readFile(join(directory, 'RECOVERYXLOG'))
    expect([joined.length, joined.readBigUInt64LE(8), joined.readUInt32LE(40)]).toEqual([1024 * 1024, 0x300000n, 34])
    expect(await fetch(`${unfinished}.partial`)).toMatchObject({ code: 1, stderr: '' })

    made.segment(1, '0/300000')
    expect(await fetch(unfinished)).toMatchObject({ code: 0, stderr: '' })
    expect((await readFile(join(directory, 'RECOVERYXLOG'))).readUInt32LE(40)).toBe(0)
  })

  test('asks again while the archive stutters', async () => {
    undo.push(s3.fail({ op: 'GetObject', times: 4, fault: { kind: 'status', status: 503, code: 'SlowDown' } }))
    expect((await fetch(SEGMENT, ['--retry-for', '60s'])).code).toBe(0)
  })

  test('takes the segment that was stored first when there are two, and warns', async () => {
    const rival = made.segment(1, '0/100000', ['2026-11-22T10:00:00Z'])
    const { code, stderr } = await fetch(SEGMENT)
    expect(code).toBe(0)
    expect(stderr).toContain(`warning: ${rival} claims ${SEGMENT} with other bytes`)
    // the commit record of the rival would stand here
    expect((await readFile(join(directory, 'RECOVERYXLOG'))).readUInt32LE(40)).toBe(0)
  })
})
