import { CommanderError } from 'commander'
import { asPostboxError, PostboxError } from '../errors.js'

/** A failed command as text for standard error: one line and a hint, or JSON. */
export function describeFailure(thrown: unknown, json: boolean): string {
  const error = thrown instanceof CommanderError ? wrongLine(thrown) : asPostboxError(thrown)
  const { code, message, hint } = error
  if (json) return JSON.stringify({ error: { code, message, hint } }) + '\n'
  // Nobody can report a defect without its stack.
  const stack = code === 'internal' && error.cause instanceof Error ? `${error.cause.stack}\n` : ''
  return `postbox: ${oneLine(message)} (${code})\nhint: ${oneLine(hint)}\n${stack}`
}

function wrongLine({ message }: CommanderError): PostboxError {
  const [problem = '', ...suggestions] = message.replace(/^error: /, '').split('\n')
  const hint = suggestions.join(' ').replace(/^\((.*)\)$/, '$1') || 'Run "postbox help" or add --help to the command.'
  return new PostboxError('bad_argument', problem, hint)
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ')
