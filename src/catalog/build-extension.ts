import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { version } from '../version.js'
import { controlFile, installScript, updateScript, type SqlFile } from './extension-scripts.js'

/** Both folders lie beside src as well as beside dist. */
const MIGRATIONS = new URL('../../migrations/', import.meta.url)
const BEHAVIOUR = new URL('../../sql/', import.meta.url)
const EXTENSION = new URL('../../dist/extension/', import.meta.url)

/** Writes what belongs into the folder `extension` of Postgres's share directory: part of `npm run build`. */
async function build(): Promise<void> {
  const files = { migrations: await sqlFiles(MIGRATIONS), behaviour: await sqlFiles(BEHAVIOUR) }
  await mkdir(EXTENSION, { recursive: true })
  const write = (name: string, text: string) => writeFile(new URL(name, EXTENSION), text)
  await write('postbox.control', controlFile(version))
  await write(`postbox--${version}.sql`, installScript(files))
  for (const [from, lastMigration] of Object.entries(await releases())) {
    await write(`postbox--${from}--${version}.sql`, updateScript(version, files, lastMigration))
  }
}

/** The last migration that each released version had. */
async function releases(): Promise<Record<string, string>> {
  return JSON.parse(await readFile(new URL('releases.json', MIGRATIONS), 'utf8')) as Record<string, string>
}

async function sqlFiles(folder: URL): Promise<SqlFile[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort()
  return Promise.all(names.map(async (name) => ({ name, text: await readFile(new URL(name, folder), 'utf8') })))
}

await build()
