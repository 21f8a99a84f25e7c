import { cp, mkdir, mkdtemp, readFile, symlink } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { cacheDir, exists, publish } from './binaries.js'
import { run } from './run.js'
import { scratchDir } from './scratch.js'
import { traversable } from './user.js'

/** The compiled program and the Node that runs it, where the sandbox user can run both: a restored server calls it. */
export interface Program {
  node: string
  cli: string
  /** the command itself, which takes Node from the path */
  command: string
}

const root = join(import.meta.dirname, '../..')

let found: Promise<Program> | undefined

/** The clone's own dist, or a copy of it where the clone lies under a closed home directory. */
export function program(): Promise<Program> {
  found ??= findProgram()
  return found
}

async function findProgram(): Promise<Program> {
  if (traversable(root)) return programOf(root, process.execPath)
  const home = await scratchDir('cli')
  const parts = ['dist', 'sql', 'migrations', 'package.json']
  for (const part of parts) await cp(join(root, part), join(home, part), { recursive: true })
  const modules = await sharedModules()
  await symlink(join(modules, 'node_modules'), join(home, 'node_modules'))
  return programOf(home, join(modules, 'node'))
}

function programOf(home: string, node: string): Program {
  return { node, cli: join(home, 'dist/cli.js'), command: join(home, 'dist/postbox') }
}

/** A copy of what dist imports and, last, of Node, kept between runs for as long as the lock file stays the same. */
async function sharedModules(): Promise<string> {
  const lock = await readFile(join(root, 'package-lock.json'))
  const mark = createHash('sha256').update(lock).update(process.version).digest('hex').slice(0, 12)
  const to = join(await cacheDir(), `modules-${mark}`)
  if (await exists(to)) return to
  const building = await mkdtemp(`${to}-`)
  await mkdir(join(building, 'node_modules'))
  for (const name of await productionPackages()) {
    const target = join(building, 'node_modules', name)
    await mkdir(join(target, '..'), { recursive: true })
    await run('cp', ['-a', '--reflink=auto', join(root, 'node_modules', name), target])
  }
  await cp(process.execPath, join(building, 'node'))
  await run('chmod', ['-R', 'a+rX', building])
  return publish(building, to, 'node')
}

/** Names under node_modules that are no development dependencies, by the lock file. */
async function productionPackages(): Promise<string[]> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>
  }
  const top = /^node_modules\/((?:@[^/]+\/)?[^/]+)$/
  const names = Object.entries(lock.packages).flatMap(([path, { dev }]) => (dev ? [] : (top.exec(path)?.[1] ?? [])))
  const there = await Promise.all(names.map((name) => exists(join(root, 'node_modules', name))))
  return names.filter((_, at) => there[at])
}
