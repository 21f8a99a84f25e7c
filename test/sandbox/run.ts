import { spawn } from 'node:child_process'
import { sandboxUser } from './user.js'

/** Enough to find programs, and nothing of the developer's own. */
export const plainEnv = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' }

export interface RunOptions {
  /** run as the sandbox user; otherwise as ourselves */
  asSandboxUser?: boolean
  cwd?: string
  /** the whole environment; by default PATH and the C locale, so that a developer's PG* variables stay out */
  env?: Record<string, string>
}

/** Runs a program to its end and gives its standard output. Throws with what it printed when it fails. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const user = options.asSandboxUser ? sandboxUser() : null
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: options.env ?? plainEnv,
    cwd: options.cwd ?? '/',
    ...(user ?? {}),
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const ended = await new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code === 0 ? '' : (signal ?? `exit ${String(code)}`)))
  })
  if (ended !== '') throw new Error(`${program} ${args.join(' ')}: ${ended}\n${stderr}${stdout}`.trimEnd())
  return stdout
}
