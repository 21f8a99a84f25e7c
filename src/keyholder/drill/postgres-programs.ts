import { execFile } from 'node:child_process'
import { access, constants, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { childEnvironment, searchPath } from '../../config.js'
import { PostboxError } from '../../errors.js'

/** Where Debian, Red Hat and others put the programs of each major version. */
const PLACES = (major: number): string[] => [
  `/usr/lib/postgresql/${major}/bin`,
  `/usr/pgsql-${major}/bin`,
  `/usr/lib/postgresql${major}/bin`,
  `/opt/homebrew/opt/postgresql@${major}/bin`,
]

/**
 * The folder that holds pg_ctl and postgres of one major version: `asked`, on the path, or in a usual place.
 *
 * Throws `postgres_missing`.
 */
export async function findPrograms(major: number, asked: string | null): Promise<string> {
  const directories = asked === null ? [...PLACES(major), ...searchPath()] : [asked]
  for (const directory of directories) if ((await majorOf(directory)) === major) return directory
  throw new PostboxError(
    'postgres_missing',
    `there is no Postgres ${major} ${asked === null ? 'on the path or where packages put it' : `in ${asked}`}`,
    `Install the Debian package postgresql-${major} (or the like) here, or say where it is with --postgres-bin.`,
  )
}

async function majorOf(directory: string): Promise<number | null> {
  try {
    const { stdout } = await promisify(execFile)(join(directory, 'postgres'), ['--version'], {
      env: childEnvironment({}),
    })
    await access(join(directory, 'pg_ctl'), constants.X_OK)
    return Number(/\) (\d+)/.exec(stdout)?.[1] ?? 0)
  } catch {
    return null
  }
}

/** Whether a folder has a program. */
export async function hasProgram(directory: string, name: string): Promise<boolean> {
  return (await readdir(directory)).includes(name)
}
