/** A value with its labels, of which each has few values that are known beforehand. */
export interface Sample {
  value: number
  labels?: Readonly<Record<string, string>>
}

export interface HistogramSample {
  labels: Readonly<Record<string, string>>
  /** how many were at most so many seconds, in the order of the bounds, each without those before */
  buckets: readonly number[]
  sum: number
}

/** A metric that is read when it is asked for, so that counting costs no more than adding a number. */
export type Reading =
  | {
      name: string
      help: string
      type: 'gauge' | 'counter'
      read: () => readonly Sample[] | Promise<readonly Sample[]>
    }
  | { name: string; help: string; type: 'histogram'; bounds: readonly number[]; read: () => readonly HistogramSample[] }

/** For what may not be known: no sample then. */
export const known = (value: number | null | undefined): Sample[] =>
  typeof value === 'number' && Number.isFinite(value) ? [{ value }] : []
