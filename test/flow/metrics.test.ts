import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { request } from 'undici'
import { parse } from 'yaml'
import { IssuerCounts } from '../../src/keyholder/issuer-counts.js'
import { openObserveServer } from '../../src/observe/observe-server.js'
import { showLogOfFailures } from '../faults/show-log.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { freePort } from '../sandbox/ports.js'
import { parseOpenMetrics, type Family } from '../sandbox/open-metrics.js'
import { until } from '../sandbox/until.js'

let backedUp: BackedUpServer
let port: number

beforeAll(async () => {
  port = await freePort()
  backedUp = await BackedUpServer.start({
    initdb: ['--wal-segsize=1'],
    workerEnv: { POSTBOX_LISTEN: String(port) },
  })
})

afterAll(() => backedUp.remove())

showLogOfFailures(() => backedUp)

async function ask(path: string, at = port): Promise<{ status: number; type: string; body: string }> {
  const { statusCode, headers, body } = await request(`http://127.0.0.1:${at}${path}`)
  return { status: statusCode, type: String(headers['content-type']), body: await body.text() }
}

async function scrape(at = port): Promise<Map<string, Family>> {
  const { status, type, body } = await ask('/metrics', at)
  expect(status).toBe(200)
  expect(type).toMatch(/^application\/openmetrics-text/)
  return parseOpenMetrics(body)
}

const value = (families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number | undefined =>
  [...families.values()]
    .flatMap(({ samples }) => samples)
    .find((one) => one.name === name && Object.entries(labels).every(([key, is]) => one.labels[key] === is))?.value

/** Names of the issuer's metrics, from one that serves them. */
async function issuerMetrics(): Promise<Map<string, Family>> {
  const counts = new IssuerCounts()
  counts.countSigned()
  counts.refused.no_token = 2
  counts.sawDrill('db1', '2026-11-25T00:00:00Z')
  await counts.lookForPrune({ list: prunedOnce } as never, 'db1')
  const issuerPort = await freePort()
  const fine = () => ({ ok: true, problems: [] })
  const server = await openObserveServer({
    listen: { host: '127.0.0.1', port: issuerPort },
    readings: counts.readings(),
    health: fine,
    readiness: () => ({ ok: false, problems: ['no key'] }),
  })
  try {
    expect((await ask('/healthz', issuerPort)).status).toBe(200)
    expect(await ask('/readyz', issuerPort)).toMatchObject({ status: 503, body: '{"ok":false,"problems":["no key"]}' })
    return await scrape(issuerPort)
  } finally {
    await server.close()
  }
}

async function* prunedOnce(prefix: string) {
  await Promise.resolve()
  yield { key: `${prefix}7/20261124T000000Z-0001.closed.json`, storedAt: new Date('2026-11-24T00:00:00Z') }
}

test('what is stored is counted in the worker and in the thread of the job, and read at a scrape', async () => {
  await backedUp.backUp()
  await backedUp.storeAllWal()
  const families = await until('the catalog and the checks are shown', async () => {
    const found = await scrape()
    const shown = value(found, 'postbox_check_state', { check: 'base_age' }) === 0
    const stored = (value(found, 'postbox_stored_bytes_total', { kind: 'base' }) ?? 0) > 0
    return shown && stored && value(found, 'postbox_last_base_backup_timestamp_seconds') !== undefined ? found : null
  })
  const stored = { outcome: 'stored' }
  const [row] = await backedUp.postgres.query<{ parts: number; bytes: string }>(
    'select parts, (select count(*) from backup.objects where kind = $1)::text as bytes from backup.base_backups',
    ['segment'],
  )
  // Parts, Postgres's manifest, our own.
  expect(value(families, 'postbox_posts_total', { kind: 'base', ...stored })).toBe(row!.parts + 2)
  expect(value(families, 'postbox_posts_total', { kind: 'segment', ...stored })).toBeGreaterThanOrEqual(
    Number(row!.bytes),
  )
  expect(value(families, 'postbox_post_duration_seconds_count', { kind: 'base' })).toBe(row!.parts + 2)
  expect(value(families, 'postbox_catalog_up')).toBe(1)
  expect(value(families, 'postbox_wal_wanted')).toBe(1)
  expect(value(families, 'postbox_wal_streaming')).toBe(1)
  expect(value(families, 'postbox_jobs', { kind: 'base', state: 'done' })).toBe(1)
  expect(value(families, 'postbox_grant_expiry_timestamp_seconds')).toBeGreaterThan(Date.now() / 1000)
  expect(value(families, 'process_resident_memory_bytes')).toBeGreaterThan(0)
  expect(families.get('postbox_posts')).toMatchObject({ type: 'counter' })
})

test('healthy is the worker while it turns, ready while WAL flows', async () => {
  expect(await ask('/healthz')).toMatchObject({ status: 200, body: '{"ok":true,"problems":[]}' })
  await until('it is ready', async () => (await ask('/readyz')).status === 200)
  await backedUp.postgres.stop()
  await until('it is not ready', async () => (await ask('/readyz')).status === 503)
  expect((await ask('/healthz')).status).toBe(200)
  const families = await until('a scrape without a database', scrape)
  expect(value(families, 'postbox_catalog_up')).toBe(0)
  // Not known is not shown, rather than shown as it was.
  expect(value(families, 'postbox_wal_at_risk_seconds')).toBeUndefined()
  expect(value(families, 'postbox_posts_total', { kind: 'base', outcome: 'stored' })).toBeGreaterThan(0)
  await backedUp.postgres.start()
  await until('it is ready again', async () => (await ask('/readyz')).status === 200)
})

test('where WAL is not wanted, ready is a worker that streams none', async () => {
  const configure = (to: string) => backedUp.postgres.query("select backup.configure('stream_wal', $1)", [to])
  await until('it is ready', async () => (await ask('/readyz')).status === 200)
  await configure('off')
  await until('WAL is not streamed', async () => value(await scrape(), 'postbox_wal_streaming') === 0)
  expect(await ask('/readyz')).toMatchObject({ status: 200, body: '{"ok":true,"problems":[]}' })
  expect(value(await scrape(), 'postbox_wal_wanted')).toBe(0)
  await configure('on')
  await until('WAL is streamed again', async () => value(await scrape(), 'postbox_wal_streaming') === 1)
})

test('alert rules and dashboard speak of metrics that are there', async () => {
  const worker = await scrape()
  const issuer = await issuerMetrics()
  expect(value(issuer, 'postbox_issuer_grants_refused_total', { reason: 'no_token' })).toBe(2)
  expect(value(issuer, 'postbox_issuer_last_prune_timestamp_seconds', { server: 'db1' })).toBe(
    Date.parse('2026-11-24T00:00:00Z') / 1000,
  )
  const names = new Set([...worker.values(), ...issuer.values()].flatMap((family) => family.sampleNames))
  const docs = new URL('../../docs/', import.meta.url)
  const rules = parse(readFileSync(new URL('prometheus-rules.yaml', docs), 'utf8')) as {
    groups: {
      rules: { alert: string; expr: string; labels: object; annotations: { summary: string; description: string } }[]
    }[]
  }
  const dashboard = readFileSync(new URL('grafana-dashboard.json', docs), 'utf8')
  const panels = (JSON.parse(dashboard) as { panels: { targets?: { expr: string }[] }[] }).panels
  const alerts = rules.groups.flatMap((group) => group.rules)
  const expressions = [
    ...alerts.map(({ expr }) => expr),
    ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ]
  expect(alerts.length).toBeGreaterThan(8)
  expect(panels.length).toBeGreaterThan(8)
  const used = expressions.flatMap((expr) => expr.match(/\b(?:postbox|process|nodejs)_\w+/g) ?? [])
  expect(used.length).toBeGreaterThan(20)
  expect(used.filter((name) => !names.has(name))).toEqual([])
  for (const { annotations } of alerts) expect(annotations.description).toMatch(/\.$/)
  // No label takes a value that nobody knows beforehand.
  const labels = new Set(
    [...worker.values()]
      .flatMap(({ name, samples }) => (name.startsWith('postbox_') ? samples : []))
      .flatMap((one) => Object.keys(one.labels)),
  )
  expect([...labels].sort()).toEqual(['check', 'kind', 'le', 'outcome', 'state', 'version'])
})
