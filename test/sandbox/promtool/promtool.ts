import { join } from 'node:path'
import { cacheDir } from '../binaries.js'
import { run } from '../run.js'

/** The program that tries Prometheus' rules; null, loudly, where apt cannot give it. CI must have it. */
export async function promtool(): Promise<string | null> {
  try {
    return (await run(join(import.meta.dirname, 'install.sh'), [join(await cacheDir(), 'promtool')])).trim()
  } catch (cause) {
    const { CI } = process.env
    if (CI !== undefined && CI !== '' && CI !== 'false') throw cause
    process.stderr.write(`\n*** SKIPPED: the alert rules are not tried: ${(cause as Error).message}\n\n`)
    return null
  }
}
