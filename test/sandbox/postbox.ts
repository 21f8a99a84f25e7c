import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { endWithUs, forgetProcess } from './guard.js'

const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Ended {
  /** null when a signal ended it */
  code: number | null
  stdout: string
  stderr: string
}

export interface PostboxOptions {
  /** added to an environment in which no S3 key, no proxy and no POSTBOX_* variable is set */
  env?: Record<string, string>
  cwd?: string
}

/** A command that was started from the sources. */
export interface StartedPostbox {
  pid: number
  /** what it has written so far */
  output: { stdout: string; stderr: string }
  signal(name: NodeJS.Signals): void
  ended: Promise<Ended>
}

/** Starts `postbox` with these arguments. It ends with this process, at the latest. */
export function startPostbox(args: readonly string[], options: PostboxOptions = {}): StartedPostbox {
  const program = ['--disable-warning=DEP0180', '--import', `${root}.ts-node.js`, `${root}src/cli.ts`]
  const child: ChildProcess = spawn(process.execPath, [...program, ...args], {
    cwd: options.cwd ?? root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: cleanEnvironment(options.env),
  })
  const pid = child.pid!
  endWithUs(pid, 'TERM')
  const output = gatherOutput(child)
  const ended = once(child, 'close').then(([code]) => {
    forgetProcess(pid)
    return { code: code as number | null, ...output }
  })
  return { pid, output, signal: (name) => void child.kill(name), ended }
}

/** Runs `postbox` to its end, whatever its exit code. */
export function runPostbox(args: readonly string[], options: PostboxOptions = {}): Promise<Ended> {
  return startPostbox(args, options).ended
}

/** What a child writes to its pipes, growing as it does. */
export function gatherOutput(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (text: string) => (output[name] += text))
  }
  return output
}

/** Enough to run, and no setting of the developer's own. */
export const bareEnvironment = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C', HOME: '/nonexistent' }

/** The same, and nobody asks the machine's metadata service for a key. */
export function cleanEnvironment(added: Record<string, string> = {}): Record<string, string> {
  return { ...bareEnvironment, AWS_EC2_METADATA_DISABLED: 'true', ...added }
}
