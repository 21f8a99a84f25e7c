import { execFile } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { promisify } from 'node:util'
import type { SandboxPostgres } from '../sandbox/postgres.js'

const DEBIAN = '/usr/lib/postgresql'

/** Debian's pgbench, or null where none is installed (apt-get install postgresql). */
export function findPgbench(): string | null {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN) : []
  return versions.map((version) => `${DEBIAN}/${version}/bin/pgbench`).find((path) => existsSync(path)) ?? null
}

export interface PgbenchResult {
  tps: number
  latencyMs: number
}

/** Runs pgbench's own TPC-B-like transactions. `environment`: such as PGOPTIONS. */
export async function pgbench(
  program: string,
  postgres: SandboxPostgres,
  { clients, seconds, rate }: { clients: number; seconds: number; rate?: number },
  environment: Record<string, string> = {},
): Promise<PgbenchResult> {
  const args = ['-n', '-c', String(clients), '-j', '2', '-T', String(seconds)]
  if (rate !== undefined) args.push('-R', String(rate))
  const text = await call(program, postgres, args, environment)
  return {
    tps: Number(/^tps = ([\d.]+)/m.exec(text)![1]),
    latencyMs: Number(/^latency average = ([\d.]+) ms/m.exec(text)![1]),
  }
}

/** Makes pgbench's tables. */
export async function fillPgbench(program: string, postgres: SandboxPostgres, scale: number): Promise<void> {
  await call(program, postgres, ['-i', '-q', '-s', String(scale)], {})
}

async function call(
  program: string,
  postgres: SandboxPostgres,
  args: string[],
  environment: Record<string, string>,
): Promise<string> {
  const where = ['-h', postgres.socketDir, '-p', String(postgres.port), '-U', 'postgres', 'postgres']
  const { stdout } = await promisify(execFile)(program, [...args, ...where], {
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin', ...environment },
  })
  return stdout
}
