import { join } from 'node:path'
import { cacheDir } from '../binaries.js'
import { run } from '../run.js'

/** Where psql and pg_dump of Postgres 18 are; null, loudly, where apt cannot give them. CI must have them. */
export async function clientPrograms(): Promise<string | null> {
  try {
    return (await run(join(import.meta.dirname, 'install.sh'), [join(await cacheDir(), 'postgresql-client-18')])).trim()
  } catch (cause) {
    const { CI } = process.env
    if (CI !== undefined && CI !== '' && CI !== 'false') throw cause
    process.stderr.write(`\n*** SKIPPED: the tests of dumps do not run: ${(cause as Error).message}\n\n`)
    return null
  }
}
