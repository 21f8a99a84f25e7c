import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { postbox } from '../sandbox/command.js'
import { until } from '../sandbox/until.js'
import { showLogOfFailures } from '../faults/show-log.js'

interface Change {
  name: string
  from: string | null
  to: string
  message: string
}

let backedUp: BackedUpServer
let receiver: Server
let listener: Client
const posted: (Change & { authorization: string | undefined })[] = []
const heard: Change[] = []
/** How the receiver answers next; then 200. */
const answers: number[] = []
let refusing = false
const refused: Change[] = []

beforeAll(async () => {
  backedUp = await BackedUpServer.start({ initdb: ['--wal-segsize=1'] })
  receiver = createServer((request, response) => {
    void text(request).then((body) => {
      const status = answers.shift() ?? (refusing ? 503 : 200)
      const { authorization } = request.headers
      if (status === 503) refused.push(JSON.parse(body) as Change)
      if (status === 200) posted.push({ ...(JSON.parse(body) as Change), authorization })
      response.writeHead(status, { location: '/elsewhere' }).end()
    })
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  await backedUp.postgres.query('create role mona login in role backup_monitor')
  listener = await backedUp.postgres.connect({ user: 'mona' })
  listener.on('notification', ({ payload }) => heard.push(JSON.parse(payload!) as Change))
  await listener.query('listen postbox_checks')
})

afterAll(async () => {
  await listener.end()
  await backedUp.remove()
  receiver.close()
})

showLogOfFailures(() => backedUp)

const check = (args: string[] = [], user = 'mona') => postbox(['check', ...args], backedUp.databaseEnv(user))
const url = () => `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook/hidden-path`
const fail = (message: string | null) =>
  backedUp.postgres.query('select backup._report_problem($1, $2)', [
    'archive',
    message && { code: 'box_refused', message, hint: 'See to it.' },
  ])

test('a change of a check is notified, posted to the webhook with its secret, and tried again until it is taken', async () => {
  await backedUp.postgres.query(
    `select backup.configure('webhook_url', $1), backup.configure('webhook_secret', 'hidden-token')`,
    [url()],
  )
  await until('the worker was seen to be well', async () => {
    const seen = "select from backup._check_state where name = 'worker' and state = 'ok'"
    return (await backedUp.postgres.query(seen)).length === 1
  })
  answers.push(500, 302)
  await fail('one trouble')
  const change = { name: 'worker', from: 'ok', to: 'crit', message: 'one trouble' }
  await until('it is posted', () => posted.some(({ message }) => message === 'one trouble'))
  expect(heard).toContainEqual(expect.objectContaining(change))
  expect(posted).toContainEqual(
    expect.objectContaining({ ...change, postbox: 1, server: 'db1', authorization: 'Bearer hidden-token' }),
  )
  await fail(null)
  await until('its end is posted', () =>
    posted.some(({ name, from, to }) => name === 'worker' && from === 'crit' && to === 'ok'),
  )
  expect(backedUp.worker.log).toContain('"check":"worker","from":"ok","to":"crit"')
  expect(backedUp.worker.log).not.toContain('hidden-')
})

test('a webhook that is set right is tried at once, and one that is taken back warns no longer', async () => {
  const state = async () =>
    (await backedUp.postgres.query<{ state: string }>("select state from backup.checks where name = 'webhook'"))[0]!
      .state
  const configure = (value: string | null) =>
    backedUp.postgres.query("select backup.configure('webhook_url', $1)", [value])
  const trouble = () =>
    backedUp.postgres.query('select backup._report_problem($1, $2)', [
      'webhook',
      { code: 'webhook_failed', message: 'it is not there', hint: 'See to it.' },
    ])
  // The worker may still say of the last delivery that all is well.
  await until('the check warns', async () => {
    await trouble()
    return (await state()) === 'warn'
  })
  await configure(`${url()}/2`)
  await until('the check is ok', async () => (await state()) === 'ok')
  expect(posted).toContainEqual(expect.objectContaining({ postbox: 1, server: 'db1', name: 'webhook', to: 'ok' }))
  await trouble()
  await configure(null)
  await until('the check is ok', async () => (await state()) === 'ok')
  await configure(url())
})

test('a change that waits for the webhook outlives the connection with the database', async () => {
  refusing = true
  await fail('another trouble')
  const isIt = ({ to, message }: Change) => to === 'crit' && message === 'another trouble'
  await until('it was refused once', () => refused.some(isIt))
  const begun = () => backedUp.worker.log.split('the worker has begun').length
  const before = begun()
  await backedUp.postgres.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'postbox worker'",
  )
  await until('another term has begun', () => begun() > before)
  expect(backedUp.worker.log).toContain('changes of checks still wait for the webhook')
  refusing = false
  await until('it is posted', () => posted.some(isIt))
})

test('postbox check says in one line what is wrong, with figures, and what to do in the lines after', async () => {
  const { code, stdout, stderr } = await check()
  expect(stderr).toBe('')
  const [first, ...rest] = stdout.trimEnd().split('\n')
  expect(code).toBe(2)
  expect(first).toMatch(/^POSTBOX CRIT - .*base_age: there is no base backup.*\|/)
  expect(first!.split('|')[1]).toMatch(
    /^seconds_at_risk=[\d.]+s;150;300;0 bytes_at_risk=\d+B;536870912;1073741824;0 base_age=U;691200;1382400;0 grant_left=[\d.]+s;10800:;0: checks_warn=\d+;;;0 checks_crit=1;;;0$/,
  )
  expect(rest).toContain('crit base_age: there is no base backup (Start one: select backup.start_base().)')
})

test('postbox check ends with 0 when all is well, 1 for a warning and 3 when it cannot ask', async () => {
  await backedUp.backUp()
  await until('the worker is seen to be well', async () => (await check()).code === 0)
  expect((await check()).stdout).toMatch(/^POSTBOX OK - all \d+ checks are ok\|/)
  await backedUp.postgres.query(`select backup.configure('grant_warn_before', '13 hours')`)
  const warned = await check(['--json'])
  expect(warned.code).toBe(1)
  expect(JSON.parse(warned.stdout)).toMatchObject({ state: 'warn', figures: { grant_warn_before: 46800 } })
  await backedUp.postgres.query(`select backup.configure('grant_warn_before', null)`)
  const unknown = await check(['--database-url', 'postgresql://mona@127.0.0.1:1/postgres'])
  expect(unknown).toMatchObject({ code: 3, stdout: expect.stringMatching(/^POSTBOX UNKNOWN - /) as string })
  expect((await check(['--no-such-option'])).code).toBe(3)
  await backedUp.postgres.query('create role nora login')
  expect((await check([], 'nora')).code).toBe(3)
})

test('the worker reports what it sees of clocks and the disk, and an idle look writes nothing', async () => {
  const facts = async () =>
    (await backedUp.postgres.query<{ facts: Record<string, unknown> }>('select facts from backup._worker'))[0]!.facts
  await until('the box has shown its clock', async () => 'box_skew_seconds' in (await facts()))
  expect(await facts()).toMatchObject({
    box_skew_seconds: 0,
    database_skew_seconds: 0,
    disk: { total_bytes: expect.any(Number) as number },
  })
})

test('without a worker nobody notifies, and the check of it is critical for who asks', async () => {
  expect(await backedUp.worker.stop()).toBe(0)
  const { code, stdout } = await check()
  expect(code).toBe(2)
  expect(stdout).toMatch(/^POSTBOX CRIT - .*worker: no worker runs/)
})
