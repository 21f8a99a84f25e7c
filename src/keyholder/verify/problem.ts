import { asPostboxError, type PostboxError } from '../../errors.js'

export interface Problem {
  /** error: something that was promised cannot be had. warning: look at it */
  severity: 'error' | 'warning'
  /** the backup or dump that it is about; null for WAL and whatever belongs to none */
  id: string | null
  /** a sentence that names keys */
  problem: string
}

export const lost = (problem: string, id: string | null = null): Problem => ({ severity: 'error', id, problem })
export const odd = (problem: string, id: string | null = null): Problem => ({ severity: 'warning', id, problem })

/** What is damaged is a line of the answer; an archive that does not answer ends it. */
export function damage(thrown: unknown): string {
  const error = asPostboxError(thrown)
  const codes: PostboxError['code'][] = ['object_damaged', 'object_missing', 'wal_invalid', 'wal_missing']
  if (!codes.includes(error.code)) throw thrown
  return error.message
}

/** The same of work: what it says, or null where all is well. */
export async function damageOf(work: Promise<unknown>): Promise<string | null> {
  return work.then(() => null, damage)
}
