import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parseDumpManifest } from '../../src/box/dump-manifest.js'
import { decompress } from '../../src/keyholder/zstd.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { clientPrograms } from '../sandbox/client/programs.js'

const bin = await clientPrograms()

const SCHEMA = `
  create schema app;
  create table app.users (id int primary key, email text); insert into app.users values (1, 'ann@example.org');
  create table app.log (at date not null, who text) partition by range (at);
  create table app.log_2025 partition of app.log for values from ('2025-01-01') to ('2026-01-01');
  insert into app.log values ('2025-05-05', 'ann')`

describe.skipIf(bin === null)('a masked dump', () => {
  let backedUp: BackedUpServer

  beforeAll(async () => {
    backedUp = await BackedUpServer.start({ workerEnv: { PATH: `${bin!}:/usr/bin:/bin` } })
    await backedUp.postgres.query('grant pg_read_all_data to postbox_worker')
  })
  afterAll(async () => {
    await backedUp.remove()
  })
  beforeEach(async () => {
    await backedUp.postgres.query(`drop schema if exists app cascade; delete from backup._mask; ${SCHEMA}`)
  })

  const mask = (column: string, expression: string) =>
    backedUp.postgres.query('select backup.mask($1, $2)', [column, expression])
  /** How a masked dump ends that was queued right before `ddl`. */
  const ended = async (ddl = '') => {
    // One transaction.
    await backedUp.postgres.query(`select backup.start_dump(options => '{"masked": true}'); ${ddl}`)
    const [row] = await backedUp.postgres.query<{ id: string }>('select max(job_id) id from backup.jobs')
    return backedUp.ended(BigInt(row!.id))
  }
  const manifestOf = async (jobId: string) => {
    const query = 'select manifest_key as key from backup.dumps where job_id = $1'
    const { key } = (await backedUp.postgres.query<{ key: string }>(query, [jobId]))[0]!
    return parseDumpManifest(key, backedUp.bucket.get(key))
  }
  /** schema.table.column of all that is masked */
  const masked = async (jobId: string) =>
    (await manifestOf(jobId)).tables.flatMap((table) => table.masked.map((column) => `${table.name}.${column}`)).sort()

  test.each([
    ['a partition was detached', 'alter table app.log detach partition app.log_2024', 'app.log_2024.who'],
    [
      'a table made room for another',
      'alter table app.users rename to users_old; create table app.users (like app.users_old)',
      'app.users_old.email',
    ],
    [
      'a column made room for another',
      'alter table app.users rename email to email_old; alter table app.users add email text',
      'app.users.email_old',
    ],
  ])('is refused when %s, until what it holds is masked again', async (_what, ddl, bare) => {
    await mask('app.users.email', `'x'`)
    await mask('app.log.who', `'x'`)
    // Only the dump learns of this one.
    await backedUp.postgres.query(
      `create table app.log_2024 partition of app.log for values from ('2024-01-01') to ('2025-01-01')`,
    )
    expect(await ended()).toMatchObject({ state: 'done' })
    expect(await ended(ddl)).toMatchObject({
      state: 'failed',
      attempts: 1,
      error_code: 'dump_refused',
      error_message: expect.stringContaining(`${bare} holds what the mask of`) as string,
    })
    // Nor is another one queued, now or by a schedule.
    const refused = { code: 'PB001', message: expect.stringContaining(`${bare} holds what`) as string }
    await expect(ended()).rejects.toMatchObject(refused)
    const schedule = `select backup.schedule('nightly', '0 3 * * *', 'dump', '{"options": {"masked": true}}')`
    await expect(backedUp.postgres.query(schedule)).rejects.toMatchObject(refused)
    await mask(bare, `'y'`)
    const job = await ended()
    expect(job).toMatchObject({ state: 'done' })
    expect(await masked(job.job_id)).toEqual(
      [...new Set(['log_2024.who', 'log_2025.who', 'users.email', bare.replace('app.', '')])].sort(),
    )
  })

  test('calls a table in partitions and heirs as its mask and condition do', async () => {
    await backedUp.postgres.query(`create table app.one (a text); create table app.other (b text, "as" int);
      create table app.both (c text) inherits (app.one, app.other); insert into app.both values ('1', '2', 3, '4')`)
    await mask('app.log.who', `log.who || 'x'`)
    await mask('app.one.a', `one.a || (select 'x' where one.a = '1')`)
    await mask('app.other.b', `other.b || "as" || 'x'`)
    const where = { 'app.log': `log.at > date'2025-01-31'`, 'app.other': `other."as" > 2 and b = '2'` }
    const options = JSON.stringify({ masked: true, where })
    const query = 'select backup.start_dump(options => $1) id'
    const [row] = await backedUp.postgres.query<{ id: string }>(query, [options])
    expect(await backedUp.ended(BigInt(row!.id))).toMatchObject({ state: 'done' })
    const { tables } = await manifestOf(row!.id)
    const textOf = async (name: string) => {
      const { parts } = tables.find((table) => table.name === name)!.slices[0]!
      return (await decompress(backedUp.bucket.get(parts[0]!.key), name)).toString()
    }
    expect(await textOf('log_2025')).toBe('2025-05-05\tannx\n')
    expect(await textOf('both')).toBe('1x\t23x\t3\t4\n')
    expect(tables.find(({ name }) => name === 'both')!.where).toBe(where['app.other'])
  })
})
