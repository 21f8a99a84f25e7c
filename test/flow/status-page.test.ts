import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { statusPage } from '../../src/commands/status-page.js'
import { openArchive } from '../../src/keyholder/archive.js'
import { fleetStatus } from '../../src/keyholder/fleet/fleet-status.js'
import { standardSettings } from '../../src/keyholder/fleet/status-settings.js'
import { accessibilityProblems, openChromium } from '../sandbox/chromium/chromium.js'
import { fillFleet, HOSTILE } from '../sandbox/fleet-archive.js'
import { startS3, type LocalS3 } from '../sandbox/s3/server.js'
import { sdkClient } from '../sandbox/s3/test-grant.js'

const NOW = new Date('2026-11-22T12:00:00Z')
const browser: Browser | null = await openChromium()

let s3: LocalS3
let directory: string
let text: string
beforeAll(async () => {
  s3 = await startS3({ buckets: [{ name: 'acme-backups', versioned: true }] })
  const client = sdkClient(s3)
  fillFleet(s3.bucket('acme-backups'), NOW)
  const report = await fleetStatus(openArchive(client, 'acme-backups'), {
    bucket: 'acme-backups',
    server: null,
    known: { file: 'keyholder.yaml', servers: ['payments'] },
    settings: standardSettings,
    exact: false,
    jobs: 4,
    now: NOW,
  })
  client.destroy()
  text = statusPage(report)
  directory = await mkdtemp(join(tmpdir(), 'postbox-page-'))
  await writeFile(join(directory, 'status.html'), text)
})
afterAll(async () => {
  await browser?.close()
  await s3.close()
  await rm(directory, { recursive: true, force: true })
})

describe.skipIf(browser === null)('the page of postbox status, in Chromium', () => {
  const asked: string[] = []
  async function open(options: BrowserContextOptions): Promise<Page> {
    const page = await browser!.newPage(options)
    page.on('request', (request) => void asked.push(request.url()))
    await page.goto(`file://${join(directory, 'status.html')}`)
    return page
  }

  test.each(['light', 'dark'] as const)('is readable by everybody, in its %s colours', async (colorScheme) => {
    // Without the page's own policy, so that axe runs, and so would whatever is not escaped.
    const page = await open({ colorScheme, bypassCSP: true })
    await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    expect(await accessibilityProblems(page)).toEqual([])
    expect(await page.title()).toBe('Backups in acme-backups')
    await page.close()
  })

  test('shows what people wrote as they wrote it', async () => {
    const page = await open({})
    const said = await page.locator('#server-intranet bdi').first().textContent()
    expect(said).toBe(HOSTILE.replace('\u0007', '\ufffd'))
    expect(await page.locator('script, img').count()).toBe(0)
    await page.close()
  })

  test('draws a row for each life over the same time, and its windows, gaps, backups and drills in it', async () => {
    const page = await open({ viewport: { width: 1280, height: 900 } })
    const row = page.locator('.lane', { has: page.locator('.server', { hasText: 'billing' }) })
    const boxes = await row
      .locator('.window, .gap .reach')
      .evaluateAll((shapes) => shapes.map((one) => one.getBoundingClientRect()).map(({ left, right }) => [left, right]))
    expect(boxes).toHaveLength(3)
    // The first window ends where the gap begins, and the second begins where that ends.
    const edges = boxes.sort(([a], [b]) => a! - b!).flat()
    expect(Math.abs(edges[1]! - edges[2]!)).toBeLessThan(1)
    expect(Math.abs(edges[3]! - edges[4]!)).toBeLessThan(1)
    expect(await row.locator('.mark.base').count()).toBe(4)
    expect(await row.locator('.mark.drill-good').count()).toBe(1)
    expect(await row.locator('.timeline').getAttribute('aria-label')).toMatch(
      /^billing: restorable from 2026-11-1.*2 windows/,
    )
    expect(await page.locator('.lane .timeline').count()).toBe(9)
    await page.close()
  })

  test('fits a telephone, and asks nobody for anything', async () => {
    const page = await open({ viewport: { width: 390, height: 844 } })
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390)
    expect(new Set(asked)).toEqual(new Set([`file://${join(directory, 'status.html')}`]))
    await page.close()
  })
})

test('the page is one file: no address, no script', () => {
  expect(text).not.toMatch(/<(script|link|img|iframe)|https?:|@import|url\((?!#)/)
})
