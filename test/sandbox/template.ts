import { createHash } from 'node:crypto'
import { chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDir, exists, postgresHome, publish, type PostgresVersion } from './binaries.js'
import { run } from './run.js'
import { renewSystemIdentifier } from './system-identifier.js'
import { sandboxUser } from './user.js'

const INITDB = ['--username=postgres', '--auth=trust', '--data-checksums', '--encoding=UTF8', '--locale=C', '--no-sync']

// All its files are read together, by each copy: when one was cleaned away for its age, so were the others.
const TEMPLATE_WHOLE = 'PG_VERSION'

/** A fresh data directory at `dataDir`, with a system identifier of its own: a copy of what initdb made once. */
export async function freshDataDir(
  version: PostgresVersion,
  initdb: readonly string[],
  dataDir: string,
): Promise<void> {
  const template = await templateDir(version, initdb)
  await mkdir(dataDir, { recursive: true })
  await run('cp', ['-a', '--reflink=auto', `${template}/.`, dataDir])
  await renewSystemIdentifier(dataDir)
}

// Several test processes may make the same template at once: each makes its own and the first to finish wins.
async function templateDir(version: PostgresVersion, initdb: readonly string[]): Promise<string> {
  const { directory, packageVersion } = await postgresHome(version)
  const user = sandboxUser()
  const mark = createHash('sha256')
    .update(JSON.stringify([INITDB, initdb, user]))
    .digest('hex')
    .slice(0, 12)
  const template = join(await cacheDir(), `data-${packageVersion}-${mark}`)
  if (await exists(join(template, TEMPLATE_WHOLE))) return template
  const building = await mkdtemp(`${template}-`)
  if (user) await chown(building, user.uid, user.gid)
  try {
    await run(join(directory, 'bin/initdb'), [...INITDB, ...initdb, '-D', building], { asSandboxUser: true })
  } catch (error) {
    await rm(building, { recursive: true, force: true })
    throw error
  }
  return publish(building, template, TEMPLATE_WHOLE)
}
