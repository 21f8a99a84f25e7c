import type { Logger } from 'pino'
import type { Catalog } from '../catalog/catalog.js'
import type { PlannedSchedule } from '../catalog/schedules.js'
import { asPostboxError } from '../errors.js'
import { nextRun } from './next-run.js'
import { Wakeup } from './wakeup.js'

/** A clock that was set is noticed after this; reading the table writes nothing. */
const LOOK_EVERY_MS = 15_000
const SOONEST_MS = 50

/**
 * Queues jobs by time. When a schedule is due stands in the catalog and is compared and moved on in one statement, so that
 * neither two workers nor a crash queue a run twice; what came due while no worker ran is queued once.
 */
export class ScheduleKeeper {
  readonly #wakeup = new Wakeup()

  constructor(
    readonly catalog: Catalog,
    readonly log: Logger,
    /** after each turn */
    readonly onTurn: () => void = () => undefined,
  ) {}

  /** A schedule was set or removed. */
  wake(): void {
    this.#wakeup.wake()
  }

  /** Runs until `signal` is aborted. Rejects as the catalog does. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waits = [LOOK_EVERY_MS]
      for (const schedule of await this.catalog.schedules.planned()) waits.push(await this.#turn(schedule))
      this.onTurn()
      await this.#wakeup.wait(Math.max(Math.min(...waits), SOONEST_MS), signal)
    }
  }

  /** Resolves to the milliseconds until it is due. */
  async #turn(schedule: PlannedSchedule): Promise<number> {
    const { name, next_run_at: due, now_at: now, after_at: after } = schedule
    try {
      if (!due) {
        const next = nextRun(schedule, after)
        await this.catalog.schedules.plan(schedule, next)
        return next.getTime() - now.getTime()
      }
      if (due > now) return due.getTime() - now.getTime()
      const following = nextRun(schedule, now)
      const outcome = await this.catalog.schedules.run(name, due, following)
      if (outcome) this.log.info({ schedule: name, due: due.toISOString(), next: following.toISOString() }, outcome)
      return following.getTime() - now.getTime()
    } catch (thrown) {
      const error = asPostboxError(thrown)
      if (error.code !== 'bad_argument') throw thrown
      if (!due) await this.catalog.schedules.plan(schedule, error)
      this.log.error({ schedule: name, code: error.code, hint: error.hint }, error.message)
      return LOOK_EVERY_MS
    }
  }
}
