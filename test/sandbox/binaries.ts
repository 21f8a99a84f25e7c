import { mkdir, mkdtemp, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { run } from './run.js'
import { tempRoot } from './user.js'

/** Every major version that Postbox supports and the tests run. */
export const postgresVersions = [15, 16, 17, 18] as const

export type PostgresVersion = (typeof postgresVersions)[number]

export interface PostgresHome {
  /** holds bin, lib and share */
  directory: string
  /** such as `18.4.0-beta.17` */
  packageVersion: string
}

const homes = new Map<PostgresVersion, Promise<PostgresHome>>()

/** The programs of one version, where the sandbox user can run them. */
export function postgresHome(version: PostgresVersion): Promise<PostgresHome> {
  let home = homes.get(version)
  if (!home) homes.set(version, (home = findHome(version)))
  return home
}

async function findHome(version: PostgresVersion): Promise<PostgresHome> {
  // The package exports nothing but its index, so its root is found from there.
  const root = join(dirname(createRequire(import.meta.url).resolve(`postgres-${version}`)), '..')
  const packageFile = await readFile(join(root, 'package.json'), 'utf8')
  const packageVersion = (JSON.parse(packageFile) as { version: string }).version
  const installed = join(root, 'native')
  if (await runs(installed)) return { directory: installed, packageVersion }
  const directory = await readableCopy(installed, join(await cacheDir(), `postgres-${packageVersion}`))
  await run(join(directory, 'bin/postgres'), ['--version'], { asSandboxUser: true })
  return { directory, packageVersion }
}

async function runs(directory: string): Promise<boolean> {
  return run(join(directory, 'bin/postgres'), ['--version'], { asSandboxUser: true }).then(
    () => true,
    () => false,
  )
}

// Read by initdb alone, so what cleans the temp dir by age takes it first.
const COPY_WHOLE = 'share/postgresql/postgres.bki'

/**
 * A copy that anybody may read, for a clone under a closed home directory. Links between libraries, which the package
 * makes in an install script that may not have run, are made here.
 */
async function readableCopy(from: string, to: string): Promise<string> {
  if (await exists(join(to, COPY_WHOLE))) return to
  const building = await mkdtemp(`${to}-`)
  await run('cp', ['-a', '--reflink=auto', `${from}/.`, building])
  const listed = await readFile(join(from, 'pg-symlinks.json'), 'utf8')
  for (const { source, target } of JSON.parse(listed) as { source: string; target: string }[]) {
    const link = join(building, target.replace(/^native\//, ''))
    await rm(link, { force: true })
    await symlink(basename(source), link)
  }
  await run('chmod', ['-R', 'a+rX', building])
  return publish(building, to, COPY_WHOLE)
}

/**
 * Moves a finished directory to its name. Whoever comes second throws its own away: both are the same.
 *
 * `mark` is a file without which the other is not whole: something has cleaned the temp dir, and ours takes its place.
 */
export async function publish(building: string, to: string, mark: string): Promise<string> {
  for (let tries = 1; ; tries++) {
    try {
      await rename(building, to)
      return to
    } catch (error) {
      if (await exists(join(to, mark))) break
      if (tries === 5) throw error
      await rm(to, { recursive: true, force: true })
    }
  }
  await rm(building, { recursive: true, force: true })
  return to
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}

/** Kept between runs: programs that had to be copied, and data directories fresh from initdb. */
export async function cacheDir(): Promise<string> {
  const directory = join(tempRoot(), `postbox-sandbox-${process.getuid!()}`)
  await mkdir(directory, { recursive: true, mode: 0o755 })
  return directory
}
