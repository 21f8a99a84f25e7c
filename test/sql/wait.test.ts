import { describe, expect, test } from 'vitest'
import { postgresVersions } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'
import { installedServer } from './installed-server.js'

const failure = { code: 'box_refused', message: 'the box refused part 3', hint: 'See its policy.' }

describe.each(postgresVersions)('backup.wait() on Postgres %i', (version) => {
  const catalog = installedServer(version)
  const claimed = async () => {
    const jobId = await catalog.value<string>('select backup.start_base()')
    await catalog.rows('select from backup._claim_job()')
    return jobId
  }
  const waiting = () =>
    until('the session sleeps in wait()', () =>
      catalog.rows(`select from pg_stat_activity where wait_event = 'PgSleep'`).then((rows) => rows.length === 1),
    )

  test('returns when the job is done', async () => {
    const jobId = await claimed()
    const waited = catalog.rows('call backup.wait($1)', [jobId], 'mona')
    await waiting()
    await catalog.rows(`update backup._job set state = 'done', ended_at = now() where job_id = $1`, [jobId])
    await waited
    await catalog.rows('call backup.wait($1)', [jobId], 'olga')
  })

  test("raises the job's error with its code and hint", async () => {
    const jobId = await claimed()
    const waited = catalog.error('call backup.wait($1)', [jobId], 'mona')
    await waiting()
    await catalog.rows('select backup._fail_job($1, $2, false)', [jobId, failure])
    expect(await waited).toEqual({
      code: 'PB010',
      message: `job ${jobId} failed: the box refused part 3`,
      detail: 'code: box_refused',
      hint: 'See its policy.',
    })
  })

  test('raises when the job was canceled', async () => {
    const jobId = await catalog.value<string>('select backup.start_base()')
    await catalog.rows('select backup.cancel($1)', [jobId])
    expect(await catalog.error('call backup.wait($1)', [jobId])).toMatchObject({
      code: 'PB011',
      message: `job ${jobId} was canceled`,
      detail: 'code: job_canceled',
    })
  })

  test('raises when the timeout is over, and the job goes on', async () => {
    const jobId = await claimed()
    expect(await catalog.error(`call backup.wait($1, '0.3 s')`, [jobId])).toMatchObject({
      code: 'PB012',
      message: `job ${jobId} is still running after 00:00:00.3`,
      hint: expect.stringContaining('backup.cancel') as string,
    })
    expect(await catalog.value('select attempts from backup.jobs where job_id = $1', [jobId])).toBe(1)
  })

  test.each(['repeatable read', 'serializable'])(
    'refuses a %s transaction, which would never see the end',
    async (level) => {
      const jobId = await claimed()
      await catalog.rows(`begin isolation level ${level}`)
      const error = await catalog.error('call backup.wait($1)', [jobId])
      await catalog.rows('rollback')
      expect(error).toMatchObject({ code: 'PB013', message: `a ${level} transaction cannot see a job end` })
    },
  )

  test('refuses a job of its own transaction, which nobody else can see yet', async () => {
    await catalog.rows('begin')
    const jobId = await catalog.value<string>('select backup.start_base()')
    const error = await catalog.error('call backup.wait($1)', [jobId])
    await catalog.rows('rollback')
    expect(error).toMatchObject({ code: 'PB013', hint: expect.stringContaining('Commit first') as string })
  })

  test('refuses a job that is not there', async () => {
    expect(await catalog.error('call backup.wait($1)', ['4711'])).toMatchObject({ code: 'PB002' })
    expect(await catalog.error('call backup.wait(null)')).toMatchObject({ code: 'PB002' })
  })
})
