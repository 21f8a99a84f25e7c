import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SandboxPostgres } from '../postgres.js'

/** Fills the database `postgres` with a bit of everything that the server's version can hold. */
export async function loadRegression(postgres: SandboxPostgres): Promise<void> {
  const files = (await readdir(import.meta.dirname)).filter((file) => file.endsWith('.sql')).sort()
  for (const file of files) {
    const since = /-since-(\d+)\.sql$/.exec(file)
    if (since && postgres.version < Number(since[1])) continue
    await postgres.query(await readFile(join(import.meta.dirname, file), 'utf8'))
  }
}
