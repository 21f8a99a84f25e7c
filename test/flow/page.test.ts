import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { request, type Dispatcher } from 'undici'
import { openCatalog } from '../../src/catalog/catalog.js'
import { Secret } from '../../src/secret.js'
import { showLogOfFailures } from '../faults/show-log.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { accessibilityProblems, openChromium } from '../sandbox/chromium/chromium.js'
import { freePort } from '../sandbox/ports.js'
import { until } from '../sandbox/until.js'

/** What people and servers may write, and nobody may run. */
const HOSTILE = `</script><script>window.harmed=1</script><img src=x onerror="window.harmed=1">"'&amp;\u202e{{1}}`

let backedUp: BackedUpServer
let port: number
const browser: Browser | null = await openChromium()

beforeAll(async () => {
  port = await freePort()
  backedUp = await BackedUpServer.start({
    initdb: ['--wal-segsize=1'],
    workerEnv: { POSTBOX_LISTEN: String(port) },
  })
  const { postgres } = backedUp
  await backedUp.backUp(HOSTILE)
  // A dump of a database with a name like that, and a drill and a part of the worker in trouble that say as much.
  await postgres.query(
    `with job as (
       insert into backup._job (kind, state, target, started_at, ended_at)
       values ('dump', 'done', '{}', now(), now()) returning job_id
     ), dump as (
       insert into backup._dump
       select 'dump-1', job_id, $1, s.system_identifier, left($1, 60), '0/1000000', now() - interval '90 seconds', now(),
              true, false, 3, 10, 5000000, 2000000, 'key', 180000
       from job, pg_control_system() s
     )
     insert into backup._drill (server, system_identifier, backup_id, target, started_at, finished_at, ok, problem,
       restore_seconds, recovery_seconds, restored_bytes, checks)
     select 'db1', s.system_identifier, left($1, 60), 'latest', now(), now(), false, $1, 1, 1, 1, '[]' from pg_control_system() s`,
    [HOSTILE],
  )
  await postgres.query("select backup.schedule('nightly', '30 2 * * *', 'base')")
  await backedUp.storeAllWal()
})

afterAll(async () => {
  await browser?.close()
  await backedUp.remove()
})

showLogOfFailures(() => backedUp)

const address = () => `http://127.0.0.1:${port}`

async function ask(
  path: string,
  options: Omit<Dispatcher.RequestOptions, 'path' | 'method'> & { method?: string } = {},
) {
  const { statusCode, headers, body } = await request(`${address()}${path}`, options as object)
  return { status: statusCode, headers, body: await body.text() }
}

describe.skipIf(browser === null)('the page of the worker, in Chromium', () => {
  const asked = new Set<string>()
  const errors: string[] = []
  async function open(options: BrowserContextOptions = {}): Promise<Page> {
    const page = await browser!.newPage(options)
    page.on('request', (one) => void asked.add(new URL(one.url()).origin))
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()))
    page.on('pageerror', (error) => errors.push(error.message))
    await page.goto(address())
    return page
  }
  const live = (page: Page) => until('it is live', async () => (await page.locator('#live').textContent()) === 'live')
  const openAll = "for (const one of document.querySelectorAll('details')) one.open = true"

  test('says all that matters without a script', async () => {
    const page = await open({ javaScriptEnabled: false })
    const text = async (selector: string) => (await page.locator(selector).first().innerText()).replace(/\s+/g, ' ')
    expect(await page.title()).toBe('Postbox: db1')
    expect(await text('.headline')).toMatch(/^Safe until \d\d:\d\d:\d\d UTC At risk \d.* WAL streams stored to 0\//)
    expect(await text('#now .facts')).toMatch(
      /^Last base backup \d+ (?:s|min) ago .*Last dump .*Last drill .* failed Next run in .*nightly.*Grant ends in 1/,
    )
    expect(await text('#checks')).toMatch(/critical drill_age the drill of .* See backup.drills/)
    expect(await page.locator('#windows .timeline').getAttribute('aria-label')).toMatch(
      /^Timeline 1: one window, restorable from \d{4}-\d\d-\d\d \d\d:\d\d:\d\d to /,
    )
    for (const [mark, count] of [
      ['window', 1],
      ['mark.base', 1],
      ['mark.dump', 1],
      ['mark.drill-failed', 1],
    ] as const) {
      expect([mark, await page.locator(`#windows .timeline .${mark}`).count()]).toEqual([mark, count])
    }
    expect(await text('#bases tbody tr')).toMatch(/ago .* yes \d+ (?:s|min) .*\d.* MiB \d.* MiB 2\d{7}T/)
    expect(await text('#dumps tbody tr')).toMatch(/whole, 3 tables 1 min 30 s 4.77 MiB 1.91 MiB dump-1$/)
    expect(await text('#schedules tbody tr')).toMatch(/^nightly base backup 30 2 \* \* \* UTC in \d+ (h|min)/)
    expect(await page.locator('#wal .chart').first().getAttribute('aria-label')).toMatch(
      /^Stored over the last day: at most \d/,
    )
    expect(await text('#wal')).toContain('The delay is known since the worker began at')
    await page.close()
  })

  test('shows what people wrote as they wrote it, and runs nothing of it', async () => {
    const page = await open({ bypassCSP: true })
    await live(page)
    for (const selector of ['#bases bdi', '#dumps .more bdi']) {
      expect(await page.locator(selector).first().textContent()).toBe(HOSTILE)
    }
    expect(await page.locator('#checks').textContent()).toContain(HOSTILE)
    expect(await page.locator('img').count()).toBe(0)
    expect(await page.evaluate('window.harmed')).toBeUndefined()
    await page.close()
  })

  test('shows what is new without being loaded again, and leaves alone what its reader does', async () => {
    const page = await open()
    await live(page)
    await page.evaluate('window.loadedOnce = true')
    await page.locator('#good-checks summary').click()
    await page.evaluate(
      "const range = document.createRange(); range.selectNodeContents(document.querySelector('#bases h2')); getSelection().addRange(range)",
    )
    await backedUp.postgres.query(
      `insert into backup._job (kind, state, target, attempts, phase, bytes_done, bytes_total, started_at)
       values ('base', 'running', '{"label": "of the test"}', 1, 'copying', 400, 1000, now())`,
    )
    const job = page.locator('.jobs li')
    await until('the job is shown', async () => (await job.textContent())?.includes('40 %'))
    expect(await job.locator('progress').getAttribute('value')).toBe('40')
    await backedUp.backUp('a later one')
    // What is selected waits, and comes as soon as it is not.
    expect(await page.locator('#bases tbody tr').count()).toBe(1)
    await until('the window has both', async () => (await page.locator('#windows .mark.base').count()) === 3)
    await page.evaluate('getSelection().removeAllRanges()')
    await until('the new one is shown', async () =>
      (await page.locator('#bases').textContent())?.includes('a later one'),
    )
    expect(await page.evaluate("document.getElementById('good-checks').open && document.activeElement.tagName")).toBe(
      'SUMMARY',
    )
    expect(await page.evaluate('window.loadedOnce')).toBe(true)
    await page.close()
    await backedUp.postgres.query(
      'update backup._job set state = \'canceled\', ended_at = now(), error = \'{"code": "job_canceled", "message": "", "hint": ""}\' where state = \'running\'',
    )
  })

  test.each(['light', 'dark'] as const)('is readable by everybody, in its %s colours', async (colorScheme) => {
    const page = await open({ colorScheme, bypassCSP: true })
    await live(page)
    await page.evaluate(openAll)
    expect(await accessibilityProblems(page)).toEqual([])
    await page.close()
  })

  test('fits a telephone', async () => {
    const page = await open({ viewport: { width: 360, height: 740 } })
    await live(page)
    await page.evaluate(openAll)
    const wide =
      "Array.from(document.querySelectorAll('body *')).filter((one) => one.getBoundingClientRect().right > 361 && !one.closest('.unseen, svg, thead')).map((one) => one.outerHTML.slice(0, 200))"
    expect(await page.evaluate(wide)).toEqual([])
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360)
    await page.close()
  })

  test('says so when the database is away, and what was known; then when the worker is', async () => {
    const page = await open()
    await live(page)
    await backedUp.postgres.stop()
    const headline = page.locator('.headline')
    await until('it is said', async () => (await headline.textContent())?.includes('The database does not answer'))
    expect(await headline.textContent()).toMatch(/Safe at least until.*It was last heard of at \d/s)
    expect(await page.locator('#state').textContent()).toBe('The database does not answer')
    expect(await page.locator('#bases tbody tr').count()).toBe(2)
    const anew = await ask('/')
    expect(anew.body).toContain('The database does not answer')
    expect(anew.body).toContain('a later one')
    await backedUp.postgres.start()
    await until('it is there again', async () => (await headline.textContent())?.includes('critical'))

    await backedUp.worker.stop()
    const stale = page.locator('#stale')
    await until('that the worker is away is said', () => stale.isVisible())
    expect(await stale.innerText()).toMatch(/what was known at 2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d UTC\.$/)
    await backedUp.startWorker({ POSTBOX_LISTEN: String(port) }).says('streaming WAL')
    await until('it is live again', async () => !(await stale.isVisible()))
    // The new worker knows of that what the catalog tells.
    await until('what was stored before is known', async () =>
      (await page.locator('#wal').textContent())?.includes('what was stored before is by the minute of whole segments'),
    )
    expect(await page.locator('#wal figcaption').first().textContent()).toMatch(/\d MiB in all/)
    await page.close()
  })

  test('asks its own worker alone, and breaks no rule of its own policy', () => {
    expect([...asked]).toEqual([address()])
    expect(
      errors.filter(
        (one) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/.test(one),
      ),
    ).toEqual([])
  })
})

test('can only be read, is kept nowhere, loads nothing and stands in no frame', async () => {
  const { status, headers, body } = await ask('/')
  expect(status).toBe(200)
  expect(headers).toMatchObject({
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'content-security-policy': expect.stringMatching(
      /^default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; connect-src 'self';.* frame-ancestors 'none'$/,
    ) as string,
  })
  expect(body).toContain('<noscript><meta http-equiv="refresh" content="30"></noscript>')
  expect(body).not.toMatch(/<(img|iframe)|href="(?!data:)|https?:|@import|url\((?!#)| style="| on[a-z]+="/)
  expect(await ask('/', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
  expect((await ask('/events', { method: 'HEAD' })).status).toBe(404)
  for (const method of ['POST', 'PUT', 'DELETE']) {
    expect(await ask('/', { method, body: 'x' })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } })
  }
})

test('is read from the catalog without a write, by one who may only look', async () => {
  const url = new URL(backedUp.postgres.url({ user: 'mona' }))
  url.searchParams.set('options', '-c default_transaction_read_only=on')
  await backedUp.postgres.query('create role mona login in role backup_monitor')
  await using catalog = await openCatalog(new Secret(url.href))
  expect(await catalog.overviews.read()).toMatchObject({ server: 'db1', base_count: 2, dump_count: 1 })
  await expect(catalog.reportProblem('box', null)).rejects.toThrow()
})

test('a window that is not the end of what is stored, or has a gap behind it, is told from one that goes on', async () => {
  await using catalog = await openCatalog(new Secret(backedUp.postgres.url()))
  const newest = async () => {
    const [{ open, is_last, base_backups } = {}] = (await catalog.overviews.read()).windows
    return { open, is_last, base_backups }
  }
  expect(await newest()).toEqual({ open: true, is_last: true, base_backups: 2 })
  const { postgres } = backedUp
  await postgres.query(
    `insert into backup._wal_gap select r.system_identifier, r.timeline, upper(r.lsns) + 1e8::numeric, upper(r.lsns) + 2e8::numeric, 'a test'
     from backup._wal_range r`,
  )
  expect(await newest()).toMatchObject({ open: false, is_last: true })
  await postgres.query('truncate backup._wal_gap')
  await postgres.query(
    `insert into backup._wal_range (system_identifier, timeline, lsns)
     select r.system_identifier, 2, backup.lsn_range('0/1000000', '0/1100000') from backup._wal_range r`,
  )
  expect(await newest()).toMatchObject({ open: true, is_last: false })
  await postgres.query('delete from backup._wal_range r where r.timeline = 2')
})

test('is not for a page that calls itself by a name of its own, nor for another page that listens', async () => {
  for (const path of ['/', '/events']) {
    const { status, body } = await ask(path, { headers: { host: `evil.example:${port}` } })
    expect([status, body]).toEqual([403, expect.stringMatching(/^page_host_wrong: /)])
  }
  expect((await ask('/', { headers: { host: 'localhost:9999' } })).status).toBe(200)
  expect((await ask('/events', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403)
  // Metrics are asked for by any name.
  expect((await ask('/metrics', { headers: { host: 'db1.example' } })).status).toBe(200)
})

test('listens to twenty and no more, and ends with the worker', async () => {
  const listening: IncomingMessage[] = []
  for (let one = 0; one < 20; one++) {
    // Who looked before may just be leaving.
    const response = await until('there is room', async () => {
      const [answer] = (await once(get(`${address()}/events`, { agent: false }), 'response')) as [IncomingMessage]
      return answer.resume().statusCode === 200 ? answer : null
    })
    listening.push(response)
  }
  expect((await ask('/events')).status).toBe(503)
  const ended = listening.map((response) => once(response, 'close'))
  expect(await backedUp.worker.stop()).toBe(0)
  await Promise.all(ended)
})
