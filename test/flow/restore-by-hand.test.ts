import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { restoreNote } from '../../src/box/restore-note.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { databaseText, firstDifference } from '../sandbox/client/database-text.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { removeScratch, scratchDir } from '../sandbox/postgres.js'
import { loadRegression } from '../sandbox/regression/load-regression.js'
import { plainEnv, run } from '../sandbox/run.js'

const bin = await clientPrograms()

/** What stands between the marks of code in docs/restore-by-hand.md. */
const page = await readFile(join(import.meta.dirname, '../../docs/restore-by-hand.md'), 'utf8')
const [settings, ...blocks] = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!)

describe.skipIf(bin === null)('docs/restore-by-hand.md', () => {
  let backedUp: BackedUpServer
  let scratch: string

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: bin! }, settings: { max_locks_per_transaction: '256' } })
    scratch = await scratchDir('by-hand')
    const { postgres } = backedUp
    await postgres.query('alter role postbox_worker superuser')
    await loadRegression(postgres)
    // As the page says: psql cannot read these.
    await postgres.query('drop schema "begin" cascade')
    await postgres.query('create table "key" ("key" text, "sha256" text, "it\'s" int)')
    await postgres.query(`insert into "key" values ('a', 'b', 1)`)
    await postgres.query("select backup.configure('dump_split_bytes', '1MB')")
  })
  afterAll(async () => {
    await backedUp.remove()
    await removeScratch(scratch)
  })

  test('brings a dump back by the lines that stand there, word by word', async () => {
    const { postgres, s3 } = backedUp
    const [row] = await postgres.query<{ id: string }>('select backup.start_dump() id')
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
    const [server, system, , id] = backedUp.bucket
      .keys()
      .find((key) => key.includes('/dump/'))!
      .split('/')
    const values: Record<string, string> = {
      ...{ ENDPOINT: s3.endpoint, REGION: s3.region, BUCKET: 'backups', SERVER: server!, SYSTEM: system!, ID: id! },
      ...{ AWS_ACCESS_KEY_ID: s3.accessKey, AWS_SECRET_ACCESS_KEY: s3.secretKey },
    }
    expect([...settings!.matchAll(/(\w+)=/g)].map(([, name]) => name)).toEqual(Object.keys(values))
    const env = {
      ...values,
      PATH: `${bin!}:${plainEnv.PATH}`,
      ...{ PGHOST: '127.0.0.1', PGPORT: String(postgres.port), PGUSER: 'postgres' },
    }
    const said = await run('sh', ['-euc', blocks.join('\n')], { cwd: scratch, env })
    expect(said).toContain(`<Prefix>${server!}/${system!}/dump/${id!}/`)
    const texts = await Promise.all(
      ['postgres', 'copy'].map((name) => databaseText(bin!, postgres, name, ['--exclude-table-data=tables.by_enum_*'])),
    )
    expect(firstDifference(texts[0]!, texts[1]!)).toBeNull()
  })

  test('says of what comes after fetching what the note in the bucket says', () => {
    const note = restoreNote('db1').content.toString().replaceAll(/^ {4}/gm, '')
    for (const line of blocks.at(-1)!.split('\n')) expect(note).toContain(line)
  })
})
