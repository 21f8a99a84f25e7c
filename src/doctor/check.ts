import { asPostboxError, PostboxError } from '../errors.js'

/** `unknown`: it could not be looked at, and so is neither good nor bad. */
export type State = 'ok' | 'warn' | 'fail' | 'unknown'

/** One thing that the worker needs. */
export interface Check {
  /** stable */
  name: string
  state: State
  /** what was found */
  seen: string
  /** what to do about it; null when nothing is to be done */
  hint: string | null
  /** of the error that it ended in */
  code?: string
}

export const ok = (name: string, seen: string): Check => ({ name, state: 'ok', seen, hint: null })
export const warn = (name: string, seen: string, hint: string): Check => ({ name, state: 'warn', seen, hint })
export const fail = (name: string, seen: string, hint: string): Check => ({ name, state: 'fail', seen, hint })
export const unknown = (name: string, seen: string, hint: string | null): Check => ({
  name,
  state: 'unknown',
  seen,
  hint,
})

/** What `look` finds; what it throws is a failed check, or only a warning. */
export async function looking(
  name: string,
  look: () => Promise<Check>,
  state: 'warn' | 'fail' = 'fail',
): Promise<Check> {
  try {
    return await look()
  } catch (thrown) {
    const error = asPostboxError(thrown)
    if (error.code === 'interrupted') throw error
    return failed(name, error, state)
  }
}

export function failed(name: string, { code, message, hint }: PostboxError, state: 'warn' | 'fail' = 'fail'): Check {
  return { name, state, seen: message, hint, code }
}
