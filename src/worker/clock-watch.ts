/** Less than this changes nothing for anybody, and each report is a row, which is WAL. */
const STEP_SECONDS = 10

/** How far other clocks are ahead of the worker's. */
export class ClockWatch {
  #boxMs: number | null = null
  #databaseMs: number | null = null
  #shown: { box_skew_seconds?: number; database_skew_seconds?: number } = {}

  /** An answer of the box came with its time. */
  sawBox(skewMs: number): void {
    this.#boxMs = skewMs
  }

  sawDatabase(skewMs: number): void {
    this.#databaseMs = skewMs
  }

  /** As it is to be reported: steps, and none for a value that wavers. */
  facts(): { box_skew_seconds?: number; database_skew_seconds?: number } {
    const { box_skew_seconds: box, database_skew_seconds: database } = this.#shown
    this.#shown = {
      ...named('box_skew_seconds', steady(this.#boxMs, box)),
      ...named('database_skew_seconds', steady(this.#databaseMs, database)),
    }
    return this.#shown
  }
}

function steady(ms: number | null, shown: number | undefined): number | undefined {
  if (ms === null) return shown
  const seconds = ms / 1000
  if (shown !== undefined && Math.abs(seconds - shown) < STEP_SECONDS) return shown
  return Math.abs(seconds) < STEP_SECONDS ? 0 : Math.round(seconds)
}

const named = <Name extends string>(name: Name, value: number | undefined): Partial<Record<Name, number>> =>
  value === undefined ? {} : ({ [name]: value } as Record<Name, number>)
