import { pino, type DestinationStream, type Logger } from 'pino'
import type { LogLevel } from './config.js'
import { PostboxError } from './errors.js'

export type { Logger } from 'pino'

/** Names that hold something secret wherever they stand; a Secret prints as *** by itself. */
const secretNames = ['authorization', 'token', 'policy', 'signature', 'password', 'fields', 'grant', 'secret']

/**
 * The log: JSON lines on standard error, so that standard output stays for what a command reports.
 *
 * `destination`: another place for the lines, for tests.
 */
export function createLog(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '***' },
    serializers: { err: describeError },
  }
  return destination ? pino(options, destination) : pino(options, pino.destination({ dest: 2, sync: true }))
}

/**
 * An error as the log shows it: our code and hint, and the messages of its causes.
 *
 * Nothing else is copied: errors of HTTP libraries carry whole requests, with all that was signed.
 */
export function describeError(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return describeComplaint(thrown)
  const ours = thrown instanceof PostboxError ? { code: thrown.code, message: thrown.message, hint: thrown.hint } : null
  const known = ours?.code !== 'internal' && ours !== null
  return {
    ...(ours ?? { name: thrown.name, message: thrown.message }),
    // An expected error needs no stack; a defect is nothing without.
    ...(known ? {} : { stack: thrown.stack }),
    ...(thrown.cause === undefined ? {} : { cause: describeError(thrown.cause) }),
  }
}

/** What a server said, as replication-error.ts has it, or anything else that is no Error. */
function describeComplaint(thrown: unknown): Record<string, unknown> {
  const { code, message } = Object(thrown) as { code?: unknown; message?: unknown }
  if (typeof message !== 'string') return { message: String(thrown) }
  return typeof code === 'string' ? { code, message } : { message }
}
