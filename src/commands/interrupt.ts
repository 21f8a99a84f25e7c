import { constants } from 'node:os'
import { PostboxError } from '../errors.js'

const stopSignals = ['SIGINT', 'SIGTERM'] as const

let controller: AbortController | undefined
let received: (typeof stopSignals)[number] | undefined

/**
 * Aborts at the first SIGINT or SIGTERM, with the reason `interrupted`; a second one ends the process at once. Every
 * call returns the same signal. Without a call the process ends as usual.
 */
export function interruptSignal(): AbortSignal {
  if (controller) return controller.signal
  const aborter = (controller = new AbortController())
  for (const name of stopSignals) {
    process.on(name, () => {
      if (received) process.exit(128 + constants.signals[name])
      received = name
      aborter.abort(new PostboxError('interrupted', `stopped by ${name}`, 'Run it again; nothing half-done counts.'))
    })
  }
  return aborter.signal
}

/** What a shell expects of a command that ended because of a signal; null when none came. */
export function interruptExitCode(): number | null {
  return received ? 128 + constants.signals[received] : null
}
