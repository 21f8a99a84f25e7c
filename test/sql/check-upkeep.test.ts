import { beforeEach, describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer } from './installed-server.js'

const problem = { code: 'box_refused', message: 'the box refused a part', hint: 'See its policy.' }

describe.each(postgresVersions)('checks of what goes on by itself, on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const check = async (name: string) =>
    (await catalog.rows('select name, state, message, hint from backup.checks where name = $1', [name], 'mona'))[0]!
  const report = (component: string, what: object | null) =>
    catalog.rows('select backup._report_problem($1, $2)', [component, what], 'walt')

  beforeEach(async () => {
    await catalog.rows('truncate backup._job, backup._schedule, backup._check_state cascade')
    await catalog.rows(`select backup.configure('server', 'db1'), backup._start_worker('1.0')`)
  })

  test('schedules: what was due, was skipped, or cannot be computed', async () => {
    const set = () => catalog.rows(`select backup.schedule('nightly', '0 2 * * *', 'base')`)
    const run = (columns: string) =>
      catalog.rows(`delete from backup._schedule_run; insert into backup._schedule_run (name, ${columns.split('=')[0]!})
        select 'nightly', ${columns.split('=')[1]!}`)
    expect(await check('schedules')).toMatchObject({ state: 'ok', message: 'nothing is scheduled' })
    await set()
    expect(await check('schedules')).toMatchObject({ state: 'ok' })
    await catalog.rows(`update backup._schedule set set_at = now() - interval '6 minutes'`)
    expect(await check('schedules')).toMatchObject({
      state: 'crit',
      message: expect.stringMatching(/nobody has computed/) as string,
    })
    await run(`next_run_at = now() - interval '6 minutes'`)
    expect(await check('schedules')).toMatchObject({
      state: 'crit',
      message: expect.stringMatching(/nightly: it was due at/) as string,
    })
    await run(`problem = '{"code": "c", "message": "no such zone", "hint": "Set it."}'`)
    expect(await check('schedules')).toMatchObject({
      state: 'crit',
      message: expect.stringMatching(/no such zone/) as string,
      hint: 'Set it.',
    })
    await run(`next_run_at, last_run_at, last_skipped_at = now() + interval '1 day', now() - interval '2 days', now()`)
    expect(await check('schedules')).toMatchObject({
      state: 'warn',
      message: expect.stringMatching(/was skipped/) as string,
    })
    await run(`next_run_at, last_run_at = now() + interval '9 days', now() + interval '8 days'`)
    expect(await check('schedules')).toMatchObject({
      state: 'warn',
      message: expect.stringMatching(/in the future/) as string,
    })
    await run(`next_run_at, last_run_at = now() + interval '1 day', now()`)
    expect(await check('schedules')).toMatchObject({
      state: 'ok',
      message: expect.stringMatching(/the next run is at/) as string,
    })
  })

  test.each([
    ['clock', { box_skew_seconds: 20 }, 'ok', /agree/],
    ['clock', { box_skew_seconds: -90, database_skew_seconds: 3 }, 'warn', /of the box is 90 s behind/],
    ['clock', { database_skew_seconds: 70 }, 'warn', /of the server is 70 s ahead of/],
    ['clock', { box_skew_seconds: 700 }, 'crit', /of the box is 700 s ahead of/],
    ['disk', {}, 'ok', /does not see the disk/],
    ['disk', { disk: { free_bytes: 11e9, total_bytes: 100e9 } }, 'ok', /are free/],
    [
      'disk',
      { disk: { free_bytes: 11e9, total_bytes: 100e9, of_data_directory: true } },
      'ok',
      /of the data directory; whether pg_wal is on another/,
    ],
    ['disk', { disk: { free_bytes: 9e9, total_bytes: 100e9 } }, 'warn', /are free/],
    ['disk', { disk: { free_bytes: 4e9, total_bytes: 100e9 } }, 'crit', /are free/],
  ])('%s: what the worker measured: %j', async (name, facts, state, message) => {
    await catalog.rows('select backup._report_facts($1)', [facts], 'walt')
    expect(await check(name)).toMatchObject({ state, message: expect.stringMatching(message) as string })
  })

  test('a change of state is notified once, with from and to, and kept with its time', async () => {
    const listener = await (await catalog.server()).connect({ user: 'nora' })
    const heard: Record<string, unknown>[] = []
    listener.on('notification', ({ payload }) => heard.push(JSON.parse(payload!) as Record<string, unknown>))
    await listener.query('listen postbox_checks')
    const noted = async () => {
      const rows = await catalog.rows<{ name: string; changed: boolean }>(
        'select * from backup._note_checks()',
        [],
        'walt',
      )
      await listener.query('')
      const changed = rows.filter((row) => row.changed).map((row) => row.name)
      expect(heard.map(({ name }) => name)).toEqual(changed)
      return heard.splice(0)
    }
    expect((await noted()).map(({ from }) => from)).toContain(null)
    expect(await noted()).toEqual([])
    await report('box', problem)
    expect(await noted()).toEqual([
      {
        name: 'box',
        from: 'ok',
        to: 'crit',
        message: problem.message,
        hint: problem.hint,
        at: expect.any(String) as string,
      },
    ])
    const since = await catalog.value<Date>(`select since from backup.checks where name = 'box'`, [], 'mona')
    await report('box', { ...problem, code: 'box_missing', message: 'another trouble' })
    // The state is the same.
    expect(await noted()).toEqual([])
    expect(await catalog.value(`select since from backup.checks where name = 'box'`, [], 'mona')).toEqual(since)
    await report('box', null)
    expect(await noted()).toMatchObject([{ name: 'box', from: 'crit', to: 'ok' }])
    // An idle server stays idle.
    await catalog.rows('begin')
    await catalog.rows('select from backup._note_checks()')
    expect(await catalog.value('select pg_current_xact_id_if_assigned()')).toBeNull()
    await catalog.rows('commit')
    await listener.end()
  })

  test('wal_backlog: warns from half of what may be at risk', async () => {
    expect(await check('wal_backlog')).toMatchObject({ state: 'crit', hint: expect.stringContaining('slot') as string })
    await catalog.rows('checkpoint')
    await catalog.rows(`select pg_create_physical_replication_slot('postbox', true)`)
    expect(await check('wal_backlog')).toMatchObject({ state: 'ok' })
    await catalog.rows(`select backup.configure('wal_max_at_risk', '1MB')`)
    await catalog.rows(`select pg_logical_emit_message(true, 'x', repeat('x', 700000))`)
    expect(await check('wal_backlog')).toMatchObject({ state: 'warn' })
    await catalog.rows(`select pg_logical_emit_message(true, 'x', repeat('x', 700000))`)
    expect(await check('wal_backlog')).toMatchObject({
      state: 'crit',
      hint: expect.stringContaining('wal_max_at_risk') as string,
    })
    await catalog.rows(`select pg_drop_replication_slot('postbox'), backup.configure('wal_max_at_risk', null)`)
  })

  test('the address and the secret of the webhook are for the worker alone', async () => {
    await catalog.rows(
      `select backup.configure('webhook_url', 'https://hooks.example.com/services/T0/hidden?key=k'),
              backup.configure('webhook_secret', 'hidden-too')`,
      [],
      'olga',
    )
    const shown = await catalog.rows(`select * from backup.settings where setting ~ 'webhook'`, [], 'olga')
    expect(shown.map(({ value }) => value as string)).toEqual(['https://hooks.example.com/***', '***'])
    expect(JSON.stringify(shown)).not.toContain('hidden')
    expect(await catalog.rows('select * from backup._webhook()', [], 'walt')).toEqual([
      { url: 'https://hooks.example.com/services/T0/hidden?key=k', secret: 'hidden-too', server: 'db1' },
    ])
    const error = await catalog.error(`select backup.configure('webhook_url', 'example.com/hidden')`, [], 'olga')
    expect(JSON.stringify(error)).not.toContain('hidden')
    await catalog.rows(`select backup.configure('webhook_url', null), backup.configure('webhook_secret', null)`)
  })
})
