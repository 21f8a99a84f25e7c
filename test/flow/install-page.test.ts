import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv, postboxOk, WorkerProcess } from '../sandbox/command.js'
import { removeScratch, scratchDir, startPostgres, type SandboxPostgres } from '../sandbox/postgres.js'
import { turnOnTls } from '../sandbox/postgres-tls.js'
import { run } from '../sandbox/run.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { until } from '../sandbox/until.js'

const page = await readFile(join(import.meta.dirname, '../../docs/install.md'), 'utf8')
const blocks = [...page.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, kind, text]) => ({ kind, text: text! }))
const [loginSql, dumpSql, peopleSql, lastSql] = blocks.filter(({ kind }) => kind === 'sql').map(({ text }) => text)

/** Lines of pg_hba.conf by the word above them. */
const hba = (name: string): string =>
  blocks.find(({ text }) => text.startsWith(`# ${name}\n`))!.text.replaceAll('192.0.2.7/32', '127.0.0.1/32')

const bin = await clientPrograms()
let postgres: SandboxPostgres
let s3: LocalS3
let scratch: string
let worker: WorkerProcess

beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'acme-backups', versioned: true }] })
  const settings = blocks.find(({ text }) => text.startsWith('wal_level'))!.text.matchAll(/^(\w+) = (\S+)/gm)
  postgres = await startPostgres({
    hba: hba('scram'),
    settings: Object.fromEntries([...settings].map(([, name, value]) => [name!, value!])),
  })
  await turnOnTls(postgres)
  scratch = await scratchDir('install')
})
afterAll(async () => {
  await worker?.kill9()
  await postgres?.remove()
  await s3?.close()
  await removeScratch(scratch)
})

const url = (user: string) => `postgresql://${user}@/postgres?host=${postgres.socketDir}&port=${postgres.port}`

const databaseEnv = () => ({
  POSTBOX_DATABASE_URL: `${postgres.url({ user: 'postbox' })}?sslmode=no-verify`,
  POSTBOX_DATABASE_PASSWORD_FILE: join(scratch, 'password'),
})

test('the roles, rights and lines of docs/install.md are enough for a worker, and are no more', async () => {
  await postboxOk(['install', '--database-url', url('postgres'), '--server', 'db1'], {})
  await postgres.query(loginSql!)
  await postgres.query("alter role postbox password 'p@ss word'")
  await writeFile(join(scratch, 'password'), 'p@ss word\n')
  await postgres.query('create table app as select n from generate_series(1, 1000) n')
  await expect(postgres.query('select from app', [], { user: 'postbox' })).rejects.toMatchObject({ code: '42501' })
  await postgres.query(peopleSql!)

  const grant = await postboxOk(['grant', '--server', 'db1', '--expires', '1h'], keyholderEnv(s3, 'acme-backups'))
  await postgres.query('select backup.install_grant($1)', [grant])
  worker = new WorkerProcess({
    ...databaseEnv(),
    POSTBOX_SOCKET: `${postgres.socketDir}/worker/postbox.sock`,
    PATH: bin ?? '',
  })
  await worker.says('streaming WAL')

  const [start, checks] = lastSql!.trim().split('\n')
  await postgres.query(start!, [], { user: 'dba' })
  await ended()
  const names = await postgres.query<{ name: string }>(checks!, [], { user: 'watcher' })
  expect(names.length).toBeGreaterThan(5)
  await expect(postgres.query(start!, [], { user: 'watcher' })).rejects.toMatchObject({ code: '42501' })
  expect(await postboxOk(['list', '--server', 'db1'], keyholderEnv(s3, 'acme-backups'))).toContain('first')
})

test.skipIf(bin === null)(
  'a dump needs the right that docs/install.md names, and the password from the file',
  async () => {
    const start = () => postgres.query('select backup.start_dump()', [], { user: 'dba' })
    await expect(start()).rejects.toThrow('may not select from public.app')
    await postgres.query(dumpSql!)
    await start()
    await ended()
  },
)

test('PostgreSQL understands every line for pg_hba.conf', async () => {
  const file = join(postgres.dataDir, 'pg_hba.conf')
  const before = await readFile(file, 'utf8')
  await writeFile(file, `${before}${hba('peer')}${hba('certificate')}`)
  const rules = await postgres.query<{ auth_method: string; user_name: string[] }>(
    `select auth_method, user_name, error from pg_hba_file_rules where 'postbox' = any (user_name)`,
  )
  expect(rules).toHaveLength(6)
  expect(rules).toEqual(rules.map((rule) => ({ ...rule, error: null })))
})

test("the worker's image has commands without S3 keys alone, and is healthy as long as a worker is alive", async () => {
  const [from, to] = [join(import.meta.dirname, '../..'), join(scratch, 'image')]
  for (const part of ['dist', 'package.json']) {
    const filter = (path: string) => !path.endsWith('dist/keyholder')
    await cp(join(from, part), join(to, part), { recursive: true, filter })
  }
  await symlink(join(from, 'node_modules'), join(to, 'node_modules'))
  await cp(join(from, 'docker/health'), join(to, 'health'), { recursive: true })
  const call = (...args: string[]) => run(process.execPath, [join(to, 'dist/cli.js'), ...args])
  expect(await call('help', 'worker')).toContain('It needs no S3 key')
  await expect(call('list', '--server', 'db1')).rejects.toThrow('"postbox list" is not part of this installation')
  const completion = await call('completion', 'bash')
  expect([completion.includes('    worker)'), completion.includes('    restore)')]).toEqual([true, false])
  const health = () => run(process.execPath, [join(to, 'health/worker.js')], { env: databaseEnv() })
  expect(await health()).toMatch(/^alive/)
  await worker.stop()
  await expect(health()).rejects.toThrow('no worker is alive')
})

/** Waits until the newest job has ended; throws when it did not end well. */
async function ended(): Promise<void> {
  const job = await until('the job has ended', async () => {
    const [row] = await postgres.query<{ state: string; error_code: string | null; error_message: string | null }>(
      'select state::text, error_code, error_message from backup.jobs order by job_id desc limit 1',
    )
    return row && !['queued', 'running'].includes(row.state) ? row : null
  })
  if (job.state !== 'done') throw new Error(`${job.error_code}: ${job.error_message}`)
}
