import { Cron } from 'croner'
import { PostboxError } from '../errors.js'

/** A time by which something is started: five fields, and the zone in which they are meant. */
export interface CronTime {
  cron: string
  time_zone: string
}

/**
 * The first run after a moment.
 *
 * Set times, such as `30 2 * * *`, run once a day: in a night that skips that hour at its end, in a night that has it twice
 * the first time. What runs every few minutes or hours goes by time that passes.
 *
 * Throws `bad_argument` for what this program does not understand.
 */
export function nextRun({ cron, time_zone }: CronTime, after: Date): Date {
  let next: Date | null
  try {
    next = new Cron(cron, { timezone: time_zone, mode: '5-part', fixedTimeRule: 'no-wildcard', paused: true }).nextRun(
      after,
    )
  } catch (cause) {
    throw new PostboxError(
      'bad_argument',
      `the worker cannot tell when "${cron}" comes in ${time_zone}: ${(cause as Error).message}`,
      'Set it again with another cron line, or with a time zone that older programs know too.',
      { cause },
    )
  }
  if (next) return next
  throw new PostboxError('bad_argument', `"${cron}" never comes`, 'Set the schedule again with another cron line.')
}
