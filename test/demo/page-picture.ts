import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { openCatalog } from '../../src/catalog/catalog.js'
import { Secret } from '../../src/secret.js'
import { openWorkerServer } from '../../src/worker/http/worker-server.js'
import { WalHistory } from '../../src/worker/wal-history.js'
import { WorkerState } from '../../src/worker/worker-state.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { openChromium } from '../sandbox/chromium/chromium.js'
import { freePort } from '../sandbox/ports.js'
import { until } from '../sandbox/until.js'
import { startWorkload } from '../sandbox/workload.js'
import { fillHistory, fillRunning, moveOn } from './page-history.js'

/** Pictures of the worker's page with two weeks of a shop on it: `docs/page.png` or, with a directory, several there. */
async function main(directory: string | undefined): Promise<void> {
  const browser = await openChromium()
  if (!browser) throw new Error('there is no browser')
  const backedUp = await BackedUpServer.start({ server: 'shop', initdb: ['--wal-segsize=1'] })
  const { postgres } = backedUp
  try {
    await backedUp.worker.stop()
    await postgres.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots')
    await moveOn(postgres)
    await fillHistory(postgres)
    await postgres.query(`select backup.schedule('nightly', '30 2 * * *', 'base', '{"checkpoint": "spread"}', 'Europe/Berlin'),
      backup.schedule('shop', '0 12 * * *', 'dump'), backup.configure('drill_max_age', '2 days')`)
    await backedUp.startWorker().says('streaming WAL')
    await fillRunning(postgres)
    const workload = await startWorkload(postgres)
    await backedUp.untilDurable()
    // It has warned for a day.
    const since =
      "update backup._check_state set since = now() - interval '26 hours' where state = 'warn' returning name"
    await until('a check warns', async () => (await postgres.query(since)).length === 1)
    await takePictures(backedUp, browser, directory)
    await workload.stop()
  } finally {
    await browser.close()
    await backedUp.remove()
  }
}

async function takePictures(backedUp: BackedUpServer, browser: Browser, directory: string | undefined): Promise<void> {
  await using catalog = await openCatalog(new Secret(backedUp.databaseEnv()['POSTBOX_DATABASE_URL']!))
  const port = await freePort()
  const server = await openWorkerServer({ host: '127.0.0.1', port }, null, await stateOf(catalog))
  const take = async (path: string, width: number, height: number | null, colorScheme: 'light' | 'dark') => {
    const page = await browser.newPage({
      viewport: { width, height: height ?? 1000 },
      colorScheme,
      deviceScaleFactor: 1.5,
    })
    await page.goto(`http://127.0.0.1:${port}/`)
    await until('it is live', async () => (await page.locator('#live').textContent()) === 'live')
    await page.screenshot({ path, fullPage: height === null })
    await page.close()
    process.stdout.write(`${path}: ${(await stat(path)).size} bytes\n`)
  }
  try {
    if (directory === undefined) {
      await take(join(import.meta.dirname, '../../docs/page.png'), 1080, 1060, 'light')
      return
    }
    for (const scheme of ['light', 'dark'] as const) {
      await take(join(directory, `${scheme}.png`), 1080, 1060, scheme)
      await take(join(directory, `${scheme}-whole.png`), 1080, null, scheme)
      await take(join(directory, `${scheme}-phone.png`), 360, 1500, scheme)
    }
  } finally {
    await server.close()
  }
}

/** As of a worker that has run for a day; what it stored the catalog tells. */
async function stateOf(catalog: Awaited<ReturnType<typeof openCatalog>>): Promise<WorkerState> {
  const now = Date.now()
  const state = new WorkerState(new WalHistory(now - 86_400_000))
  state.begin({
    catalog,
    walWanted: () => true,
    streaming: () => true,
    durable: () => ({ timeline: 1, lsn: 2n ** 63n }),
    grantExpiresAt: () => null,
  })
  for (let minute = 1440; minute > 0; minute--) {
    // The line to S3 was slow for some minutes.
    const isSlow = minute > 395 && minute < 412
    const chance = Math.abs(Math.sin(minute * 12.9898) * 43758.5453) % 1
    state.wal.waits(isSlow ? 1 + (412 - minute) / 6 : 0.9 + 0.4 * chance ** 3, now - minute * 60_000)
  }
  state.wal.fill(now - 86_400_000, (await catalog.overviews.storedWal(now - 86_400_000)).rows)
  return state
}

await main(process.argv[2])
