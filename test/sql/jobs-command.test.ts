import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cli } from '../sandbox/command.js'
import { endWithUs, forgetProcess } from '../sandbox/guard.js'
import { cleanEnvironment, gatherOutput, runPostbox, startPostbox } from '../sandbox/postbox.js'
import { until } from '../sandbox/until.js'
import { installedServer } from './installed-server.js'

const outage = { code: 'box_unavailable', message: 'the box did not\nanswer', hint: 'Wait.' }

describe('postbox jobs', () => {
  const catalog = installedServer()
  let env: Record<string, string>

  const start = (label: string) => catalog.value<string>('select backup.start_base($1)', [label])
  const asWorker = (text: string, params: unknown[]) => catalog.rows(text, params, 'walt')
  const report = (jobId: string, done: number) =>
    asWorker(`select backup._report_progress($1, 'copying', $2, 4194304, null)`, [jobId, done])
  const claim = () => asWorker('select * from backup._claim_job()', [])
  const fail = (jobId: string) => asWorker('select backup._fail_job($1, $2, false)', [jobId, JSON.stringify(outage)])

  beforeAll(async () => {
    const server = await catalog.server()
    env = { POSTBOX_DATABASE_URL: server.url({ user: 'mona' }) }
    await catalog.rows('select pg_advisory_lock(backup._worker_lock_key())', [], 'walt')
    await catalog.rows(`select backup._start_worker('1.0')`, [], 'walt')
  })

  afterAll(async () => {
    await catalog.rows('delete from backup._job')
  })

  test('are a table with what went wrong below it, or JSON, for whoever may read the view', async () => {
    expect(await runPostbox(['jobs'], { env })).toEqual({ code: 0, stdout: 'no jobs\n', stderr: '' })
    const failed = await start('nightly')
    await claim()
    await report(failed, 2097152)
    await fail(failed)
    const queued = await start('waiting')
    const { code, stdout } = await runPostbox(['jobs'], { env })
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^  ${failed} +base +nightly +failed +1 +2.00 MiB +4.00 MiB .*Z +0:00$`, 'm'))
    expect(stdout).toMatch(new RegExp(`^  ${queued} +base +waiting +queued +0 `, 'm'))
    expect(stdout).toContain(`  #${failed}: the box did not?answer (box_unavailable)\n    hint: Wait.\n`)
    const json = await runPostbox(['jobs', '--json', '--ended', '0'], { env })
    expect(JSON.parse(json.stdout)).toMatchObject([
      { job_id: queued, state: 'queued', bytes_done: 0, eta_seconds: null },
    ])
    await catalog.rows('select backup.cancel($1)', [queued])
  })

  test('are followed line by line where there is no terminal, until Ctrl-C, which is no failure', async () => {
    const watching = startPostbox(['jobs', '--watch', '--ended', '0'], { env })
    const jobId = await start('followed')
    await until('it is seen', () => watching.output.stdout.includes(`#${jobId} base "followed": queued\n`))
    await claim()
    await report(jobId, 1048576)

    await until('its bar is seen', () =>
      watching.output.stdout.includes(
        `#${jobId} base "followed": [######------------------] 1.00 MiB of 4.00 MiB (25 %)`,
      ),
    )
    watching.signal('SIGINT')
    expect(await watching.ended).toMatchObject({ code: 0, stderr: '' })
    await fail(jobId)
  })

  test('are drawn in place on a terminal, the ended ones with how they ended', async () => {
    const jobId = await start('drawn')
    const command = `exec ${process.execPath} ${cli} jobs --watch`
    const child = spawn('script', ['-qec', command, '/dev/null'], { env: cleanEnvironment({ ...env, TERM: 'xterm' }) })
    endWithUs(child.pid!, 'TERM')
    const output = gatherOutput(child)
    await until('it is drawn', () => output.stdout.includes(`#${jobId} base "drawn": queued`))
    await claim()
    await report(jobId, 3145728)
    const drawn = `"drawn": [${'#'.repeat(18)}------] 3.00 MiB of 4.00 MiB (75 %)`
    await until('its bar is drawn', () => output.stdout.includes(drawn))
    // The cursor has gone up before, and what stood on the line goes.
    expect(output.stdout.slice(0, output.stdout.indexOf(drawn))).toContain('A\r')
    expect(output.stdout).toContain(', copying\u001b[K\r\n')
    await fail(jobId)
    await until('its end is drawn', () => output.stdout.includes('"drawn": failed'))
    expect(output.stdout).toContain(`#${jobId}: the box did not?answer (box_unavailable)`)
    child.stdin.write('\u0003')
    expect(await once(child, 'close')).toEqual([0, null])
    forgetProcess(child.pid!)
    // The cursor and the line wrap are as they were.
    expect(output.stdout.lastIndexOf('\u001b[?25h')).toBeGreaterThan(output.stdout.lastIndexOf('\u001b[?25l'))
  })

  test('are refused by name to whoever may not read the view', async () => {
    const server = await catalog.server()
    const refused = await runPostbox(['jobs'], { env: { POSTBOX_DATABASE_URL: server.url({ user: 'nora' }) } })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(/\(catalog_refused\)\nhint: /)
  })
})
