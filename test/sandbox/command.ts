import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { endWithUs, forgetProcess } from './guard.js'
import { bareEnvironment, cleanEnvironment, gatherOutput, type Ended } from './postbox.js'
import { program, type Program } from './program.js'
import type { LocalS3 } from './s3/server.js'
import { until } from './until.js'
import { sandboxUser } from './user.js'

/** The compiled program, as it is shipped. */
export const cli = join(import.meta.dirname, '../../dist/cli.js')

/** As the program starts itself (src/postbox.sh), here and below. */
const HEAP_OPTION = '--max-semi-space-size=1'
const HEAP_OPTIONS: Record<string, readonly string[]> = { 'restore-dump': ['--initial-old-space-size=128'] }

export type { Ended as CommandResult } from './postbox.js'

/** Runs `postbox ARGS…` to its end with nothing in its environment but `env`. */
export async function postbox(args: readonly string[], env: Record<string, string>): Promise<Ended> {
  const { node, cli: shipped } = await program()
  const child = spawn(node, [...(HEAP_OPTIONS[args[0] ?? ''] ?? []), shipped, ...args], {
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = gatherOutput(child)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output }
}

/** The same, which must succeed; returns what it printed. */
export async function postboxOk(args: readonly string[], env: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = await postbox(args, env)
  if (code !== 0) throw new Error(`postbox ${args.join(' ')} ended with ${String(code)}:\n${stderr}${stdout}`)
  return stdout
}

/** The S3 keys and the bucket's place, for commands of the keyholder's side alone. */
export function keyholderEnv(
  s3: Pick<LocalS3, 'endpoint' | 'region' | 'accessKey' | 'secretKey' | 'caFile'>,
  bucket: string,
): Record<string, string> {
  return {
    POSTBOX_BUCKET: bucket,
    POSTBOX_S3_ENDPOINT: s3.endpoint,
    POSTBOX_S3_REGION: s3.region,
    AWS_ACCESS_KEY_ID: s3.accessKey,
    AWS_SECRET_ACCESS_KEY: s3.secretKey,
    ...(s3.caFile === null ? {} : { POSTBOX_CA_FILE: s3.caFile }),
  }
}

/** A `postbox worker` of its own process, without any S3 key in its environment. */
export class WorkerProcess {
  readonly #child: ChildProcess
  readonly #output: { stdout: string; stderr: string }
  readonly ended: Promise<number | null>

  /** @param as who runs it: ourselves, or the user that runs Postgres by a program that this one may read */
  constructor(env: Record<string, string>, as: Program | null = null) {
    const { node, cli: shipped } = as ?? { node: process.execPath, cli }
    this.#child = spawn(node, [HEAP_OPTION, shipped, 'worker'], {
      env: { ...bareEnvironment, MALLOC_ARENA_MAX: '2', POSTBOX_LOG_LEVEL: 'debug', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(as ? sandboxUser() : null),
    })
    this.#output = gatherOutput(this.#child)
    this.ended = once(this.#child, 'close').then(([code]) => {
      forgetProcess(this.pid)
      return code as number | null
    })
    endWithUs(this.pid, 'KILL')
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** its log so far, JSON lines */
  get log(): string {
    return this.#output.stderr
  }

  /** Waits for a line of the log that holds `text`. */
  async says(text: string): Promise<void> {
    await until(`the worker says "${text}"`, () => {
      if (this.#child.exitCode !== null) throw new Error(`the worker ended:\n${this.log}`)
      return this.log.includes(text)
    })
  }

  /** Asks it to end and waits until it has. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM')
    return this.ended
  }

  async kill9(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }
}
