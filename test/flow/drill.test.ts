import { chmod, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postgresHome } from '../sandbox/binaries.js'
import { clientPrograms } from '../sandbox/client/programs.js'
import { keyholderEnv, postbox } from '../sandbox/command.js'
import { scratchDir } from '../sandbox/scratch.js'
import { sandboxUser } from '../sandbox/user.js'
import { run } from '../sandbox/run.js'
import { DrillResult } from '../../src/box/drill-result.js'
import { drillKey } from '../../src/keyholder/drill/stored-drill.js'
import { TestIssuer } from '../sandbox/test-issuer.js'
import { until } from '../sandbox/until.js'
import { checkOf } from '../faults/observe.js'

const bin = await clientPrograms()

describe.each([15, 18] as const)('a drill of Postgres %i', (version) => {
  let backedUp: BackedUpServer
  let workDir: string
  let sql: string

  beforeAll(async () => {
    const settings = { allow_in_place_tablespaces: 'on' }
    backedUp = await BackedUpServer.start({ version, initdb: ['--data-checksums'], settings })
    const { postgres } = backedUp
    await postgres.query(`alter system set archive_command = 'touch /tmp/must-not-be-called'`)
    await postgres.query(`create tablespace within location ''`)
    // BASE_BACKUP of Postgres 15 leaves such a tablespace out.
    const space = version > 15 ? 'within' : 'pg_default'
    await postgres.query(`create table t tablespace ${space} as select generate_series(1, 1000) n`)
    await backedUp.backUp()
    await postgres.query('insert into t values (1001)')
    await backedUp.untilDurable()
    workDir = await scratchDir('drills')
    sql = join(workDir, 'drill.sql')
    await writeFile(sql, `select count(*) = 1001 from t;\n-- the newest row\nselect max(n) = 1001, 'x;' from t;\n`)
  })
  afterAll(async () => {
    await backedUp.remove()
  })

  const drill = async (...args: string[]) => {
    const { directory } = await postgresHome(version)
    const user = sandboxUser()
    const runAs = user ? ['--run-as', (await run('id', ['-un', String(user.uid)])).trim()] : []
    const { code, stdout, stderr } = await postbox(
      [
        'drill',
        '--server',
        'db1',
        '--work-dir',
        workDir,
        '--json',
        ...(args.includes('--postgres-bin') ? [] : ['--postgres-bin', join(directory, 'bin')]),
        ...runAs,
        ...args,
      ],
      { ...keyholderEnv(backedUp.s3, 'backups') },
    )
    if (stdout === '') throw new Error(stderr)
    const result = DrillResult.parse(JSON.parse(stdout))
    expect(code).toBe(result.ok ? 0 : 1)
    return result
  }
  const results = () => backedUp.bucket.keys('.postbox/drill/db1/')

  test('restores, recovers to the last row, looks at every page, and leaves nothing behind', async () => {
    const result = await drill('--sql', sql)
    expect(result).toMatchObject({ ok: true, problem: null, target: 'latest' })
    expect(result.checks.map(({ name, seen }) => [name, seen])).toEqual([
      ['select count(*) = 1001 from t', 'true'],
      [`select max(n) = 1001, 'x;' from t`, 'true'],
      ['page checksums', expect.stringMatching(/^\d+ pages are good$/)],
    ])
    // What the programs of this Postgres cannot do is said, and never taken for done.
    expect(result.not_run).toEqual([expect.stringMatching(/^pg_amcheck: it is not in /)])
    expect(await readdir(workDir)).toEqual(['drill.sql'])
    expect(results()).toHaveLength(1)
  })

  test.skipIf(bin === null || version !== 18)(
    'takes pg_amcheck and pg_checksums where they are, and says what they find',
    async () => {
      const { postgres } = backedUp
      const programs = await scratchDir('programs')
      const { directory } = await postgresHome(version)
      for (const name of ['postgres', 'pg_ctl']) await symlink(join(directory, 'bin', name), join(programs, name))
      for (const name of ['pg_amcheck', 'pg_checksums']) await symlink(join(bin!, name), join(programs, name))
      const good = await drill('--no-store', '--postgres-bin', programs)
      expect(good).toMatchObject({ ok: true, not_run: [] })
      expect(good.checks).toEqual([
        { name: 'pg_amcheck', ok: true, seen: 'nothing wrong' },
        { name: 'page checksums', ok: true, seen: expect.stringMatching(/^\d+ pages are good$/) as string },
      ])
      // An index in an order that is not that of its operators, as after an upgrade of the C library; each page is good.
      const order = (
        sign: string,
      ) => `create or replace function ordered(a int, b int) returns int immutable language sql
      as 'select ${sign}btint4cmp(a, b)'`
      await postgres.query(order(''))
      await postgres.query(
        'create operator class ordered for type int using btree as operator 1 <, operator 3 =, operator 5 >, function 1 ordered(int, int)',
      )
      await postgres.query('create table damaged as select generate_series(1, 100) n')
      await postgres.query('create index damaged_idx on damaged (n ordered)')
      await postgres.query(order('-'))
      await backedUp.untilDurable()
      const bad = await drill('--no-store', '--postgres-bin', programs)
      expect(bad).toMatchObject({ ok: false, problem: null })
      expect(bad.checks[0]).toMatchObject({
        ok: false,
        seen: expect.stringContaining('item order invariant violated for index "damaged_idx"') as string,
      })
      expect(bad.checks[1]).toMatchObject({ name: 'page checksums', ok: true })
      await postgres.query('drop table damaged')
    },
  )

  test('says which query was not true, and which failed', async () => {
    await writeFile(sql, 'select count(*) = 5 from t; select no_such_column from t; select true where false')
    const result = await drill('--sql', sql, '--no-store')
    expect(result.ok).toBe(false)
    expect(result.checks.slice(0, 3).map(({ ok, seen }) => [ok, seen])).toEqual([
      [false, 'it returned false'],
      [false, expect.stringContaining('no_such_column')],
      [false, 'no rows'],
    ])
    expect(results()).toHaveLength(1)
  })

  test('is heard of by the server, through the issuer', async () => {
    const { postgres } = backedUp
    expect(await checkOf(backedUp, 'drill_age')).toMatchObject({ state: 'ok' })
    const [known] = results()
    const stored = DrillResult.parse(JSON.parse(backedUp.bucket.get(known!).toString()))
    // Of another life of the server, which some other backups are in: not what this one wants to know.
    const other = {
      system_identifier: '1',
      backup_id: '20990101T000000Z-0000',
      finished_at: '2099-01-01T00:00:00.000Z',
    }
    const another: DrillResult = { ...stored, ...other, ok: false }
    backedUp.bucket.put(drillKey(another), Buffer.from(JSON.stringify(another)))
    const issuer = await TestIssuer.start(backedUp)
    try {
      await backedUp.worker.stop()
      backedUp.startWorker(issuer.workerEnv)
      await until('the drill is known', async () => (await postgres.query('select from backup.drills')).length === 1)
      const [row] = await postgres.query(
        'select d.ok, d.backup_id = b.backup_id as same, s.last_drill_at = d.finished_at as shown from backup.drills d, backup.base_backups b, backup.status s',
      )
      expect(row).toEqual({ ok: true, same: true, shown: true })
      await postgres.query(`update backup._drill set finished_at = finished_at - interval '40 days'`)
      expect(await checkOf(backedUp, 'drill_age')).toMatchObject({ state: 'warn' })
      await postgres.query(`select backup.configure('drill_max_age', '60 days')`)
      expect(await checkOf(backedUp, 'drill_age')).toMatchObject({ state: 'ok' })
      expect(await postgres.query('select from backup.drills')).toHaveLength(1)
    } finally {
      backedUp.bucket.remove(drillKey(another))
      await issuer.close()
    }
  })

  test('of a backup that is damaged is a result too, and makes the check critical', async () => {
    const part = backedUp.bucket.keys().find((key) => key.endsWith('.tar.zst'))!
    backedUp.bucket.corrupt(part)
    const result = await drill()
    expect(result).toMatchObject({ ok: false, problem: expect.stringContaining(part) as string, checks: [] })
    backedUp.bucket.corrupt(part)
    expect(await readdir(workDir)).toEqual(['drill.sql'])
    const issuer = await TestIssuer.start(backedUp)
    try {
      await backedUp.worker.stop()
      backedUp.startWorker(issuer.workerEnv)
      await until('the drill is known', async () => (await checkOf(backedUp, 'drill_age')).state === 'crit')
    } finally {
      await issuer.close()
    }
  })

  test.skipIf(bin === null)('leaves code of the database nothing of what the drill may do', async () => {
    const { postgres } = backedUp
    const { directory } = await postgresHome(version)
    const seen = await scratchDir('seen')
    await chmod(seen, 0o777)
    // The port is the restored server's. A program that reads nothing may end before it is written to.
    const note = (name: string) =>
      `if current_setting('port') = '5432' then copy (select 1) to program 'cat > /dev/null; env > ${seen}/${name}'; end if;`
    const body = (name: string, then = '') => `language plpgsql as $$ begin ${note(name)} ${then} end $$`
    await postgres.query(`create function note() returns boolean ${body('query', 'return true;')}`)
    await postgres.query(`create function note_event() returns event_trigger ${body('event')}`)
    await postgres.query('create event trigger on_ddl on ddl_command_start execute function note_event()')
    if (version >= 17) {
      await postgres.query('create event trigger on_login on login execute function note_event()')
      await postgres.query('alter database postgres set event_triggers = on')
    }
    // Nor do settings of theirs count: neither what no server starts with, nor a library for sessions.
    await postgres.query('alter system set max_connections = 1')
    await postgres.query('create database other')
    await postgres.query(`alter database other set session_preload_libraries = 'no such library'`)
    await backedUp.backUp()
    await backedUp.untilDurable()

    await writeFile(sql, 'select note()')
    const programs = await scratchDir('programs')
    for (const name of ['postgres', 'pg_ctl']) await symlink(join(directory, 'bin', name), join(programs, name))
    await symlink(join(bin!, 'pg_amcheck'), join(programs, 'pg_amcheck'))
    const result = await drill('--sql', sql, '--no-store', '--postgres-bin', programs)
    expect(result.checks.filter(({ ok }) => !ok)).toEqual([])
    expect(result).toMatchObject({ ok: true, problem: null, not_run: [] })
    // Event triggers fire neither at the login nor when an extension is made; what a query calls knows no key.
    expect(await readdir(seen)).toEqual(['query'])
    const names = (await readFile(join(seen, 'query'), 'utf8')).split('\n').map((line) => line.split('=')[0]!)
    expect(names).toContain('PATH')
    expect(names.filter((name) => /^(AWS_|POSTBOX_)/.test(name))).toEqual([])
  })
})
