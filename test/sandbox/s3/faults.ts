/** What goes wrong. */
export type Fault =
  /** an error in place of the answer, before anything is looked at */
  | { kind: 'status'; status: number; code?: string; message?: string; headers?: Record<string, string>; body?: string }
  /** the connection ends before anything is stored, or after it was stored and before the answer */
  | { kind: 'cut'; when: 'before-store' | 'after-store' }
  /** the connection ends once so many bytes of the body went over it: the request's of an upload, else the answer's */
  | { kind: 'cut-body'; afterBytes: number }
  /** 200, stored or not, with an error as its body */
  | { kind: 'ok-with-error'; code: string; message: string; stored?: boolean }
  /** stored, but the answer says something else of it */
  | {
      kind: 'answer'
      key?: string
      bucket?: string
      etag?: string
      status?: number
      body?: string
      headers?: Record<string, string>
    }
  /** answered late */
  | { kind: 'delay'; ms: number }
  /** never answered, the connection stays open */
  | { kind: 'silence' }
  /** kept waiting, before anything is stored or after it was, until the promise resolves */
  | { kind: 'hold'; when: 'before-store' | 'after-store'; until: Promise<unknown> }
  | { kind: 'redirect'; status: 307 | 301; location?: string; region?: string }
  /** every connection is ended at once */
  | { kind: 'down' }

/** Which requests a fault falls on. */
export interface FaultRule {
  /** operations as in the AWS SDK: `PostObject`, `GetObject`, `ListObjectsV2`, … */
  op?: string | readonly string[]
  method?: string
  key?: RegExp
  /** only from the n-th matching request on, counted from 1 */
  nth?: number
  /** how many requests, one unless said otherwise */
  times?: number
  fault: Fault
}

/** A request as far as it is known. A POST's key is known only after its fields were read. */
export interface FaultTarget {
  op: string
  method: string
  key: string | null
}

/** The faults that were asked for and are still to come. */
export class Faults {
  readonly #rules = new Set<{ rule: FaultRule; seen: number; done: number }>()

  /** Adds a rule; the answer takes it away again. */
  add(rule: FaultRule): () => void {
    const entry = { rule, seen: 0, done: 0 }
    this.#rules.add(entry)
    return () => {
      this.#rules.delete(entry)
    }
  }

  /**
   * The fault for this request, or null. To be asked once when the request arrives (`byKey` false for a POST, whose key
   * is not known yet) and for a POST once more with its key.
   */
  take(target: FaultTarget, which: 'any' | 'without-key' | 'by-key'): Fault | null {
    for (const entry of this.#rules) {
      const { rule } = entry
      if (which === 'without-key' && rule.key) continue
      if (which === 'by-key' && !rule.key) continue
      if (!matches(rule, target)) continue
      entry.seen++
      if (entry.seen < (rule.nth ?? 1) || entry.done >= (rule.times ?? 1)) continue
      entry.done++
      return rule.fault
    }
    return null
  }
}

function matches({ op, method, key }: FaultRule, target: FaultTarget): boolean {
  if (op !== undefined && !(typeof op === 'string' ? [op] : op).includes(target.op)) return false
  if (method !== undefined && method !== target.method) return false
  return key === undefined || (target.key !== null && key.test(target.key))
}
