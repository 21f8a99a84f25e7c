import { access, constants } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { chromium, type Browser, type Page } from 'playwright-core'
import { cacheDir } from '../binaries.js'
import { run } from '../run.js'

const NAMES = ['chromium', 'chromium-headless-shell', 'chromium-browser', 'google-chrome']
const PATH = ['/usr/local/bin', '/usr/bin', '/bin']

/** A browser to look at pages with; null, loudly, where none is and apt cannot give one. CI must have it. Close it. */
export async function openChromium(): Promise<Browser | null> {
  try {
    const executablePath = (await installed()) ?? (await fetched())
    // Pages are our own; root, as in containers, cannot have the sandbox.
    return await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
  } catch (cause) {
    const { CI } = process.env
    if (CI !== undefined && CI !== '' && CI !== 'false') throw cause
    process.stderr.write(`\n*** SKIPPED: no page is looked at in a browser: ${(cause as Error).message}\n\n`)
    return null
  }
}

async function fetched(): Promise<string> {
  const script = join(import.meta.dirname, 'install.sh')
  return (await run(script, [join(await cacheDir(), 'chromium')])).trim()
}

async function installed(): Promise<string | null> {
  for (const path of PATH.flatMap((directory) => NAMES.map((name) => join(directory, name)))) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (isThere) return path
  }
  return null
}

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** What axe has against a page as it is shown, a line each. The page may forbid scripts: this one is the browser's own. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  await page.addScriptTag({ path: axe })
  interface Violation {
    id: string
    help: string
    nodes: { html: string; failureSummary: string }[]
  }
  const { violations } = (await page.evaluate('axe.run()')) as { violations: Violation[] }
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 200)}: ${node.failureSummary}`),
  )
}
