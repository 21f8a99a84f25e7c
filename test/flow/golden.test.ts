import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { golden, load, sha256 } from '../golden/stored.js'
import { postboxOk } from '../sandbox/command.js'
import { removeScratch, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { Restores } from '../sandbox/restored.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sandboxOwned, scratchDir } from '../sandbox/scratch.js'

// Of test/golden/v1/golden.json. An archive that people have is not changed to suit a program.
const SHA256 = '7558803b1dc31b8f891934f0c293e9c89dc15fdd234db11fcc346852bd6eabcc'

const { bytes, said } = await golden('v1')

describe('the archive of format version 1', () => {
  let s3: LocalS3
  let restores: Restores

  beforeAll(async () => {
    s3 = await startS3({ buckets: [{ name: 'b', versioned: true }] })
    await load('v1', s3.bucket('b'))
    restores = new Restores(s3, 'b', said.postgres, said.server)
  })
  afterAll(async () => {
    await restores.remove()
    await s3.close()
    await removeScratch()
  })

  const json = async (...args: string[]): Promise<unknown> =>
    JSON.parse(await postboxOk([...args, '--server', said.server, '--json'], restores.env))

  /** Restores, recovers, and gives the rows; its other tablespace comes to a place of its own. */
  async function rows(...args: string[]): Promise<string[]> {
    const place = await sandboxOwned(join(await scratchDir('space'), 'elsewhere'))
    const server = await restores.recover(['--tablespace', `${said.tablespace}=${place}`, ...args])
    const [row] = await server.query<{ also: number; bulky: string }>(
      `select (select count(*)::int from also) as also, (select md5(string_agg(text, ',' order by text)) from bulky) as bulky`,
    )
    const [expected] = await server.query<{ bulky: string }>(
      `select md5(string_agg(md5(n::text), ',' order by md5(n::text))) as bulky from generate_series(1, 12000) n`,
    )
    expect(row).toEqual({ also: 100, ...expected })
    return keptIn(server)
  }

  async function keptIn(server: SandboxPostgres, database = 'postgres'): Promise<string[]> {
    const sql = 'select to_json(kept)::text as row from kept order by n'
    return (await server.query<{ row: string }>(sql, [], { database })).map(({ row }) => row)
  }

  test('is byte for byte as it was made', () => {
    expect(sha256(bytes)).toBe(SHA256)
    const keys = s3.bucket('b').keys()
    expect(keys).toEqual(said.objects.map(({ key }) => key).sort())
    for (const { key, sha256: sum } of said.objects) expect([key, sha256(s3.bucket('b').get(key))]).toEqual([key, sum])
    for (const what of [/\/tail\/00000001\//, /\/tail\/00000002\//, /\/wal\/00000002\.history-/, /\/base\/000001-/]) {
      expect(keys.some((key) => what.test(key))).toBe(true)
    }
    for (const folder of ['drill', 'probe', 'prune']) expect(keys.join()).toContain(`.postbox/${folder}/`)
  })

  test('is listed, and nothing is missing in it, read to the last byte', async () => {
    expect(await json('list')).toMatchObject({
      servers: [
        {
          problems: [],
          backups: [{ backup_id: said.backup_id, label: 'golden', state: 'restorable' }],
          dumps: [
            { dump_id: said.dumps.masked, masked: true },
            { dump_id: said.dumps.whole, masked: false },
          ],
        },
      ],
      probe: { immutable: false },
    })
    expect(await postboxOk(['verify', '--server', said.server, '--deep'], restores.env)).toContain(
      'nothing that was promised is lost',
    )
  })

  test('is restored to the row of the last tail, on the timeline of the promotion', async () => {
    expect(await rows()).toEqual(said.rows.timeline_2)
  })

  test('is restored to the end of the timeline that was left, and to a moment', async () => {
    expect(await rows('--target-timeline', '1')).toEqual(said.rows.timeline_1)
    expect(await rows('--target', `time=${said.moment}`)).toEqual(said.rows.moment)
  })

  test('gives its dumps to the newest Postgres, masked and not', async () => {
    const server = await startPostgres({ settings: { allow_in_place_tablespaces: 'on' } })
    try {
      // As with pg_dump, they are the server's.
      for (const space of ['elsewhere', 'within']) await server.query(`create tablespace ${space} location ''`)
      for (const kind of ['whole', 'masked'] as const) {
        await server.query(`create database ${kind}`)
        const url = server.url({ database: kind })
        const masked = kind === 'masked' ? ['--masked'] : []
        const from = ['restore-dump', '--server', said.server, '--dump', said.dumps[kind], ...masked]
        const args = [...from, '--no-owner', '--no-privileges', '--database-url', url]
        await postboxOk(args, restores.env)
        expect(await keptIn(server, kind)).toEqual(kind === 'masked' ? said.rows.masked : said.rows.dump)
      }
    } finally {
      await server.remove()
    }
  })
})
