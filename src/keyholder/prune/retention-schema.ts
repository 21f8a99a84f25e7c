import { z } from 'zod'
import { isBackupId } from '../../box/key-names.js'
import { PostboxError } from '../../errors.js'
import { parseDuration } from '../../units.js'
import type { RetentionRules } from './retention.js'

/** What keyholder.yaml says of one server's retention. */
export interface Retention {
  /** null: all base backups stay, and their WAL */
  backups: RetentionRules | null
  /** null: all dumps stay */
  dumps: RetentionRules | null
  /** every moment of so many seconds stays restorable; null: every moment from the oldest backup on */
  pointInTimeSeconds: number | null
  /** what has no manifest counts as being written for so long after its last object */
  incompleteAfterSeconds: number
}

const DAY = 86_400
/** Nothing goes before it is so old, unless `for` says less: who took the server cannot push backups out overnight. */
const STANDARD_FOR = 7 * DAY

const Duration = z.union([z.string(), z.number()]).transform((value, context): number => {
  try {
    return parseDuration(String(value))
  } catch (error) {
    const said = error instanceof PostboxError ? `${error.message}. ${error.hint}` : String(error)
    context.addIssue({ code: 'custom', message: said })
    return z.NEVER
  }
})

const Count = z.number({ error: 'must be a number' }).int('must be a whole number').positive('must be 1 or more')
const Id = z.string({ error: 'must be text' }).refine(isBackupId, { error: 'is not the id of a backup or dump' })

const Rules = z
  .strictObject({
    last: Count.optional(),
    for: Duration.optional(),
    days: Count.optional(),
    weeks: Count.optional(),
    months: Count.optional(),
    years: Count.optional(),
    hold: z.array(Id).default([]),
  })
  .refine((rules) => Object.keys(rules).some((name) => name !== 'hold'), {
    error: 'must say what to keep, as last, for, days, weeks, months or years',
  })
  .transform(
    ({
      last = 0,
      for: forSeconds = STANDARD_FOR,
      days = 0,
      weeks = 0,
      months = 0,
      years = 0,
      hold,
    }): RetentionRules => ({
      last,
      forSeconds,
      days,
      weeks,
      months,
      years,
      hold,
    }),
  )

export const RetentionSchema = z
  .strictObject({
    backups: Rules.nullable().default(null),
    dumps: Rules.nullable().default(null),
    point_in_time: Duration.nullable().default(null),
    incomplete_after: Duration.refine((seconds) => seconds >= DAY, 'must be 1d or more').default(7 * DAY),
  })
  .transform(({ backups, dumps, point_in_time, incomplete_after }): Retention => ({
    backups,
    dumps,
    pointInTimeSeconds: point_in_time,
    incompleteAfterSeconds: incomplete_after,
  }))
