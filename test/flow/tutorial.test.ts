import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgresHome } from '../sandbox/binaries.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv } from '../sandbox/command.js'
import { freePort } from '../sandbox/ports.js'
import { removeScratch, scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { program } from '../sandbox/program.js'
import { plainEnv, run } from '../sandbox/run.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'

const bin = await clientPrograms()

/** What stands between the marks of code in docs/tutorial.md. */
const page = await readFile(join(import.meta.dirname, '../../docs/tutorial.md'), 'utf8')
const [settings, ...blocks] = [...page.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!)

describe.skipIf(bin === null)('docs/tutorial.md', () => {
  let postgres: SandboxPostgres
  let s3: LocalS3
  let scratch: string

  beforeAll(async () => {
    s3 = await startS3({ buckets: [{ name: 'b', lock: true }] })
    postgres = await startPostgres()
    scratch = await scratchDir('tutorial')
  })
  afterAll(async () => {
    await postgres.remove()
    await s3.close()
    await removeScratch(scratch)
  })

  test('goes from nothing to a proven restore by the lines that stand there, word by word', async () => {
    const { directory } = await postgresHome(18)
    const { node, command } = await program()
    const values: Record<string, string> = {
      ...keyholderEnv(s3, 'b'),
      ...{ PGHOST: '127.0.0.1', PGPORT: String(postgres.port), PGUSER: 'postgres', PGDATABASE: 'postgres' },
      RESTORED_PORT: String(await freePort()),
    }
    for (const [, name] of settings!.matchAll(/(\w+)=/g)) expect(values).toHaveProperty(name!)
    const path = [dirname(command), dirname(node), bin!, join(directory, 'bin'), plainEnv.PATH].join(':')
    const env = { ...plainEnv, ...values, PATH: path, HOME: scratch, AWS_EC2_METADATA_DISABLED: 'true' }
    const script = `trap 'kill \${worker-}; pg_ctl -D restored -m immediate stop' EXIT\n${blocks.join('\n')}\ntrap - EXIT`
    const said = await run('sh', ['-euc', script], { cwd: scratch, env, asSandboxUser: true })
    for (const text of [
      'Nothing failed',
      'the first',
      '\n1000\n',
      'The backup is good',
      'nothing that was promised is lost',
    ]) {
      expect(said).toContain(text)
    }
    // Nothing of it stays.
    expect(await postgres.query('select slot_name from pg_replication_slots')).toEqual([])
    expect(await postgres.query("select rolname from pg_roles where rolname ~ '^(backup_|postbox)'")).toEqual([])
    expect(await postgres.query("select nspname from pg_namespace where nspname = 'backup'")).toEqual([])
    expect(await readFile(join(scratch, 'worker.log'), 'utf8')).not.toContain(s3.secretKey)
    expect(s3.bucket('b').keys('.postbox/drill/db1/')).toHaveLength(1)
  })
})
