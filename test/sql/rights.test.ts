import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { installedServer, people } from './installed-server.js'

type Person = keyof typeof people

const views = [
  'jobs',
  'schedules',
  'base_backups',
  'dumps',
  'masks',
  'objects',
  'wal_coverage',
  'wal_gaps',
  'recovery_windows',
  'grants',
  'settings',
  'status',
  'checks',
]

/** Who may call what; the calls have arguments that the function itself refuses or finds harmless. */
const calls: [call: string, who: Person[]][] = [
  [`select backup.configure('nothing', '1')`, ['operator']],
  [`select backup.install_grant('{}')`, ['operator', 'worker']],
  [`select backup.start_base('x', 'slow')`, ['operator']],
  [`select backup.start_dump(options => '[]')`, ['operator']],
  [`select backup.mask('x', null)`, ['operator']],
  [`select backup.schedule('x', '', 'base')`, ['operator']],
  [`select backup.unschedule('x')`, ['operator']],
  ['select backup.cancel(0)', ['operator']],
  ['call backup.wait(0)', ['operator', 'monitor']],
  ['select backup.can_restore_to(now())', ['operator', 'monitor']],
  ['select backup._start_worker(null)', ['worker']],
  [`select backup._report_problem('x', null)`, ['worker']],
  [`select backup._report_at_risk(null, null)`, ['worker']],
  ['select * from backup._note_checks()', ['worker']],
  [`select backup._report_facts('[]')`, ['worker']],
  ['select backup._wal_directory()', ['worker']],
  ['select * from backup._webhook()', ['worker']],
  ['select * from backup._claim_job()', ['worker']],
  [`select backup._report_progress(0, 'x', 0, 0)`, ['worker']],
  ['select backup._is_cancel_requested(0)', ['worker']],
  [`select backup._fail_job(0, '{}', true)`, ['worker']],
  ['select backup._end_canceled(0)', ['worker']],
  [`select backup._record_object(0, '', '', 0, 0, '')`, ['worker']],
  [`select backup._record_segments(0, '[]')`, ['worker']],
  [`select backup._record_timeline(0, 0, '', '')`, ['worker']],
  [`select backup._knows_segment(0, 0, '0/0', '')`, ['worker']],
  [`select backup._knows_timeline(0, 0, '')`, ['worker']],
  [`select backup._covers_wal(0, 0, '0/0', '0/0')`, ['worker']],
  [`select backup._is_synchronous('x')`, ['worker']],
  [`select * from backup._stored_wal(now(), 1)`, ['worker']],
  [`select backup._previous_mark(0, 0, '0/0', 0)`, ['worker']],
  [`select backup._segment_key(0, 0, '0/0')`, ['worker']],
  [`select backup._record_gap(0, 0, '0/0', '', true)`, ['worker']],
  [`select backup._resume_base_after_gap(0)`, ['worker']],
  [`select backup._report_slot_made('0/0')`, ['worker']],
  [`select backup._slot_made_at()`, ['worker']],
  [`select backup._wal_holes(0, 0, '0/0')`, ['worker']],
  [`select backup._finish_base(0, '{}')`, ['worker']],
  [`select backup._record_drill('{}')`, ['worker']],
  [`select backup._record_kept('{}')`, ['worker']],
  ['select * from backup._enter_life()', ['worker']],
  ['select backup._previous_manifest(0)', ['worker']],
  [`select backup._finish_dump(0, '{}')`, ['worker']],
  ['select backup._previous_dump(0)', ['worker']],
  [`select * from backup._dump_selection('{"only": "schema"}')`, ['worker']],
  [`select * from backup._matching('{}')`, ['worker']],
  ['select * from backup._masks()', ['worker']],
  ['select backup._remember_masked(null)', ['worker']],
  // What start_dump() and mask() do as their caller.
  [`select backup._queue_dump(null, null, null, '[]')`, ['operator']],
  [`select backup._set_mask('x', null)`, ['operator']],
  [`select backup._set_schedule('x', '', 'base', '{}', 'UTC')`, ['operator']],
  [`select backup._try_expression('pg_class', ')', 'text')`, ['operator']],
  [`select backup._expression_problem('')`, ['operator']],
  [`select backup._column_path('')`, ['operator']],
  [`select * from backup._column('{}')`, ['operator']],
  ['select backup._report_source(null)', ['worker']],
  [`select backup._written_by(0, 1, '1/0')`, ['worker']],
  [`select backup._finish_segment('0/1000000')`, ['worker']],
  ['select * from backup._planned_schedules()', ['worker']],
  [`select backup._plan_schedule('x', '', '', null, null)`, ['worker']],
  [`select backup._run_schedule('x', now(), now())`, ['worker']],
  ['select backup._grant()', ['worker']],
  // Parts of the others, for nobody to call.
  [`select backup._lock_running(0)`, []],
  [`select backup._check_grant('{}', null)`, []],
  [`select backup._grant_policy('')`, []],
  [`select backup._merge_range(0, 0, 'empty', null)`, []],
  [`select * from backup._missing_before(0, 0, '0/0')`, []],
  [`select * from backup._missing_between(0)`, []],
  [`select backup._dump_target(null, null, null, '{}')`, []],
  [`select backup._is_filtered(0, 0)`, []],
  ['select * from backup._covered()', []],
  [`select backup._queue_base(null, null, 'x')`, []],
  [`select backup._scheduled_target('base', null)`, []],
  [`select backup._start_base_after_gap(0, 1, '0/0', '', true)`, []],
  [`select backup._commit_locally()`, []],
  [`select backup._server_timeline()`, []],
  [`select * from backup._line(0, 1)`, []],
  [`select * from backup._bases_on_line(0, 1)`, []],
  [`select backup._is_listed('x')`, []],
]

describe.each(postgresVersions)('rights on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const everyone = Object.keys(people) as Person[]

  test.each(calls)('%s is for its roles alone', async (call, who) => {
    for (const person of everyone) {
      const outcome = await catalog.rows(call, [], people[person]).then(
        () => 'done',
        (error: { code: string }) => error.code,
      )
      if (who.includes(person)) expect([person, outcome]).not.toEqual([person, '42501'])
      else expect([person, outcome]).toEqual([person, '42501'])
      expect(outcome).not.toMatch(/^42(883|P0)/)
    }
  })

  test('every function of the schema stands in the list above or is needed by a view', async () => {
    const rows = await catalog.rows<{ proname: string }>(
      `select distinct p.proname from pg_proc p where p.pronamespace = 'backup'::regnamespace
         and (has_function_privilege('mona', p.oid, 'execute') or has_function_privilege('walt', p.oid, 'execute')
              or has_function_privilege('olga', p.oid, 'execute'))`,
    )
    const listed = calls.map(([call]) => /backup\.(\w+)/.exec(call)![1]!)
    const forViews =
      /^(_setting_list|_setting_value|_worker_(lock_key|session|alive|report)|_grant_in_use|_segment_name|_rows_slot|_wal_position|_at_risk|_own_(line|bases)|lsn_range|lsn_multirange|_check_(worker|grants|backups|drills|wal_delay|wal_backlog|slot|dumps_alone|schedules|machine))$/
    for (const { proname } of rows)
      expect(listed.includes(proname) || forViews.test(proname) ? 'known' : proname).toBe('known')
  })

  test.each(views)('backup.%s is read by the three roles and by nobody else', async (view) => {
    for (const person of ['operator', 'monitor', 'worker'] as const) {
      await catalog.rows(`select * from backup.${view}`, [], people[person])
    }
    expect(await catalog.error(`select * from backup.${view}`, [], people.nobody)).toMatchObject({ code: '42501' })
    for (const change of [`delete from backup.${view}`, `insert into backup.${view} default values`]) {
      for (const person of everyone) {
        const { code } = await catalog.error(change, [], people[person])
        // Some views cannot be written to by anybody.
        expect(['42501', '55000']).toContain(code)
      }
    }
  })

  test('no table is open to any of them, not even to be read', async () => {
    const tables = await catalog.rows<{ name: string }>(
      `select c.oid::regclass::text as name from pg_class c where c.relnamespace = 'backup'::regnamespace and c.relkind in ('r', 'S')`,
    )
    expect(tables.length).toBeGreaterThan(8)
    for (const { name } of tables) {
      for (const person of everyone) {
        expect(await catalog.error(`select * from ${name}`, [], people[person])).toMatchObject({ code: '42501' })
      }
    }
  })

  test('a search_path full of traps changes nothing', async () => {
    await catalog.rows(`create schema trap; grant all on schema trap to public`)
    await catalog.rows(
      `create function trap.now() returns timestamptz language sql as $$ select 'infinity'::timestamptz $$;
       create function trap.least(numeric, numeric) returns numeric language sql as $$ select -1.0 $$`,
      [],
      people.nobody,
    )
    await catalog.rows('set search_path = trap, pg_catalog', [], people.operator)
    const jobId = await catalog.value('select backup.start_base()', [], people.operator)
    const [job] = await catalog.rows('select isfinite(created_at) as finite from backup.jobs where job_id = $1', [
      jobId,
    ])
    expect(job).toEqual({ finite: true })
  })
})
