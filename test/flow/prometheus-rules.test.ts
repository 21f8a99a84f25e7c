import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { removeScratch, scratchDir } from '../sandbox/postgres.js'
import { promtool } from '../sandbox/promtool/promtool.js'
import { run } from '../sandbox/run.js'

const program = await promtool()
const docs = join(import.meta.dirname, '../../docs')
const rules = join(docs, 'prometheus-rules.yaml')

afterAll(() => removeScratch())

/** Fails unless exactly these alerts fire after half an hour in which every metric had the value given. */
async function expectAlerts(series: Record<string, string>, firing: Record<string, string>[]) {
  const exp_samples = firing.map((labels) => ({
    labels: `ALERTS{alertstate="firing",${Object.entries(labels)
      .map(([name, value]) => `${name}="${value}"`)
      .join(',')}}`,
    value: 1,
  }))
  await expectSamples(series, 'ALERTS{alertstate="firing"}', exp_samples)
}

async function expectSamples(series: Record<string, string>, expr: string, exp_samples: object[]) {
  const file = join(await scratchDir('rules'), 'test.yaml')
  const input_series = Object.entries(series).map(([name, values]) => ({ series: name, values }))
  const asked = { expr, eval_time: '30m', exp_samples }
  const tests = [{ interval: '1m', input_series, promql_expr_test: [asked] }]
  // JSON is YAML.
  await writeFile(file, JSON.stringify({ rule_files: [rules], evaluation_interval: '1m', tests }))
  await run(program!, ['test', 'rules', file])
}

const steadily = (value: number) => `${value}x30`
const target = (server: string, instance: string) => `{job="postbox",server="${server}",instance="${instance}"}`

/** What a worker shows; one that waits for another knows nothing of the catalog. */
function worker(server: string, instance: string, now: { serving?: boolean; wal?: boolean; streaming?: boolean } = {}) {
  const { serving = true, wal = true, streaming = serving && wal } = now
  const at = target(server, instance)
  return {
    [`up${at}`]: steadily(1),
    [`postbox_worker_serving${at}`]: steadily(serving ? 1 : 0),
    [`postbox_catalog_up${at}`]: steadily(serving ? 1 : 0),
    [`postbox_wal_streaming${at}`]: steadily(streaming ? 1 : 0),
    ...(serving && { [`postbox_wal_wanted${at}`]: steadily(wal ? 1 : 0) }),
    ...(serving && { [`postbox_check_state${at.replace('{', '{check="base_age",')}`]: steadily(0) }),
  }
}

/** Its metrics are gone with it. */
const dead = (server: string, instance: string) => ({ [`up${target(server, instance)}`]: steadily(0) })

const critical = (alertname: string) => ({ alertname, severity: 'critical' })
const warning = (alertname: string) => ({ alertname, severity: 'warning' })

test.skipIf(!program)('two servers that are well raise no alert', async () => {
  await expectAlerts({ ...worker('db1', 'a'), ...worker('db2', 'b') }, [])
})

test.skipIf(!program)('of two servers one whose worker is gone is named', async () => {
  await expectAlerts({ ...worker('db1', 'a'), ...dead('db2', 'b') }, [
    { ...critical('PostboxNotServed'), server: 'db2' },
    { ...warning('PostboxWorkerDown'), job: 'postbox', server: 'db2', instance: 'b' },
  ])
})

test.skipIf(!program)('a second worker that waits raises no alert', async () => {
  await expectAlerts({ ...worker('db1', 'a'), ...worker('db1', 'b', { serving: false }) }, [])
})

test.skipIf(!program)('a server whose workers all wait is not served', async () => {
  const waiting = { serving: false }
  await expectAlerts({ ...worker('db1', 'a', waiting), ...worker('db1', 'b', waiting) }, [
    { ...critical('PostboxNotServed'), server: 'db1' },
  ])
})

test.skipIf(!program)('where a second worker took over, the one that is gone is a warning', async () => {
  await expectAlerts({ ...dead('db1', 'a'), ...worker('db1', 'b') }, [
    { ...warning('PostboxWorkerDown'), job: 'postbox', server: 'db1', instance: 'a' },
  ])
})

test.skipIf(!program)('dumps alone raise no alert, and WAL that is wanted and does not flow does', async () => {
  await expectAlerts({ ...worker('db1', 'a', { wal: false }), ...worker('db2', 'b', { streaming: false }) }, [
    { ...critical('PostboxWalNotStreamed'), server: 'db2' },
  ])
})

test.skipIf(!program)(
  'a catalog that does not answer, and a check that is critical, are told of their server',
  async () => {
    await expectAlerts(
      {
        ...worker('db1', 'a'),
        [`postbox_catalog_up${target('db1', 'a')}`]: steadily(0),
        ...worker('db2', 'b'),
        [`postbox_check_state${target('db2', 'b').replace('{', '{check="grant",')}`]: steadily(2),
      },
      [
        { ...critical('PostboxCatalogAway'), server: 'db1' },
        { ...critical('PostboxCheckCritical'), server: 'db2', check: 'grant' },
      ],
    )
  },
)

test.skipIf(!program)('that nothing is scraped is told', async () => {
  await expectAlerts({}, [{ ...critical('PostboxNotScraped'), job: 'postbox' }])
})

test.skipIf(!program)('the dashboard says where WAL is streamed, where not, and where it is not wanted', async () => {
  const { panels } = JSON.parse(await readFile(join(docs, 'grafana-dashboard.json'), 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  const { expr } = panels.find(({ title }) => title === 'WAL is streamed')!.targets[0]!
  const series = {
    ...worker('db1', 'a'),
    ...worker('db1', 'b', { serving: false }),
    ...worker('db2', 'c', { streaming: false }),
    ...worker('db3', 'd', { wal: false }),
    ...worker('db4', 'e', { serving: false }),
  }
  const shown = { db1: 1, db2: 0, db3: 2, db4: 0 }
  const samples = Object.entries(shown).map(([server, value]) => ({ labels: `{server="${server}"}`, value }))
  await expectSamples(series, expr.replaceAll('$server', '.*'), samples)
})

test.skipIf(!program)('the scrape configuration of the how-to page is one, and gives what the rules need', async () => {
  const page = await readFile(join(docs, 'how-to/monitoring.md'), 'utf8')
  const text = /^```yaml\n(.*?)^```$/ms.exec(page)![1]!
  const directory = await scratchDir('rules')
  await copyFile(rules, join(directory, 'prometheus-rules.yaml'))
  await writeFile(join(directory, 'prometheus.yml'), text)
  await run(program!, ['check', 'config', join(directory, 'prometheus.yml')])
  const { scrape_configs } = parse(text) as {
    scrape_configs: { job_name: string; static_configs: { labels?: Record<string, string> }[] }[]
  }
  const workers = scrape_configs.find(({ job_name }) => job_name === 'postbox')!
  for (const { labels } of workers.static_configs) expect(Object.keys(labels!)).toEqual(['server'])
})
