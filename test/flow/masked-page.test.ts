import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv } from '../sandbox/command.js'
import { startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { program } from '../sandbox/program.js'
import { plainEnv, run } from '../sandbox/run.js'
import { startS3 } from '../sandbox/s3/server.js'

const bin = await clientPrograms()

const page = await readFile(join(import.meta.dirname, '../../docs/how-to/masked-dumps.md'), 'utf8')
const block = (kind: string): string => new RegExp(`^\`\`\`${kind}\n(.*?)^\`\`\`$`, 'ms').exec(page)![1]!

describe.skipIf(bin === null)('docs/how-to/masked-dumps.md', () => {
  let backedUp: BackedUpServer
  let outside: SandboxPostgres
  /** folder of the masked dump */
  let folder: string

  const ended = async (id: string) => {
    expect(await backedUp.ended(BigInt(id))).toMatchObject({ state: 'done' })
    const [row] = await backedUp.postgres.query<{ manifest_key: string }>(
      'select manifest_key from backup.dumps where job_id = $1',
      [id],
    )
    return row!.manifest_key.replace(/[^/]*$/, '')
  }

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: `${bin!}:/usr/bin:/bin` } })
    outside = await startPostgres()
    const { postgres } = backedUp
    await postgres.query('grant pg_read_all_data to postbox_worker; create role app_owner')
    await postgres.query(`create schema app; create table app.users (id int primary key, email text, phone text);
      insert into app.users select n, 'secret' || n || '@acme.example', '555-' || n from generate_series(1, 100) n;
      create table app.audit_1 (what text); insert into app.audit_1 values ('secret'); alter table app.users owner to app_owner`)
    let last: Record<string, string>[] = []
    for (const sql of block('sql').trim().split('\n')) last = await postgres.query(sql)
    folder = await ended(last[0]!.start_dump!)
    const [row] = await postgres.query<{ id: string }>('select backup.start_dump() id')
    await ended(row!.id)
  })
  afterAll(async () => {
    await outside?.remove()
    await backedUp?.remove()
  })

  /** Runs the lines for the machine outside, and gives all that the database has then. */
  async function restoreOutside(database: string, env: Record<string, string>): Promise<unknown> {
    const { node, command } = await program()
    const lines = block('sh').replace('postgresql://postgres@localhost/shop', outside.url({ database }))
    const path = [dirname(command), dirname(node), plainEnv.PATH].join(':')
    await run('sh', ['-euc', lines], { env: { ...plainEnv, ...env, PATH: path } })
    const sql = `select count(*)::int as users, count(phone)::int as phones, (select count(*)::int from app.audit_1) as audits,
      count(*) filter (where email like '%secret%')::int as secrets,
      count(*) filter (where email = 'user' || id || '@example.org')::int as masked from app.users`
    return (await outside.query(sql, [], { database }))[0]
  }

  const masked = { users: 100, phones: 0, audits: 0, secrets: 0, masked: 100 }

  test('restores the masked dump, though there is a newer one of all that the database holds', async () => {
    expect(await restoreOutside('shop', backedUp.keyholderEnv)).toEqual(masked)
  })

  test('needs no more of the archive than the folder that it copies', async () => {
    expect(block('sh copy')).toContain(folder.replace(/^(db1)\/\d+\/dump\/.*$/, '$1/SYSTEM/dump/DUMP/'))
    const s3 = await startS3({ buckets: [{ name: 'acme-outside' }] })
    try {
      for (const key of backedUp.bucket.keys(folder)) s3.bucket('acme-outside').put(key, backedUp.bucket.get(key))
      expect(await restoreOutside('copied', keyholderEnv(s3, 'acme-outside'))).toEqual(masked)
    } finally {
      await s3.close()
    }
  })
})
