import type { FaultRule } from '../sandbox/s3/faults.js'
import type { LocalS3, RequestRecord } from '../sandbox/s3/server.js'
import { until } from '../sandbox/until.js'

/** Requests that the box keeps waiting, so that a moment lasts as long as a test needs it. */
export interface Held {
  /** Waits until so many are held, and gives them. */
  reached(count?: number): Promise<RequestRecord[]>
  /** Lets them go on, and lets through those to come. */
  release(): void
}

/** Holds every matching request, just before the box stores its bytes or just before it answers. */
export function hold(s3: LocalS3, when: 'before-store' | 'after-store', rule: Omit<FaultRule, 'fault'>): Held {
  const gate = Promise.withResolvers<undefined>()
  const from = s3.requests.length
  const undo = s3.fail({ times: Infinity, ...rule, fault: { kind: 'hold', when, until: gate.promise } })
  return {
    reached: (count = 1) =>
      until(`the box holds ${count} requests for ${String(rule.key)}`, () => {
        const held = s3.requests.slice(from).filter(({ fault, status }) => fault === 'hold' && status === null)
        const arrived = when === 'before-store' ? held : held.filter(({ bucket, key }) => stored(s3, bucket, key))
        return arrived.length >= count ? arrived : null
      }),
    release: () => {
      undo()
      gate.resolve(undefined)
    },
  }
}

function stored(s3: LocalS3, bucket: string, key: string | null): boolean {
  return key !== null && s3.bucket(bucket).current(key) !== undefined
}
