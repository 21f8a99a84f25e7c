import { z } from 'zod'
import { PostboxError } from '../../errors.js'
import { parseDuration } from '../../units.js'

/** What `postbox status` warns of, and what things cost. */
export interface StatusSettings {
  baseMaxAgeSeconds: number
  drillMaxAgeSeconds: number
  /** of WAL that is too long to be looked through each time */
  verifyMaxAgeSeconds: number
  quietMaxSeconds: number
  /** for a GB (2^30 bytes) that is stored for a month */
  priceGbMonth: number
  /** for a thousand requests that store something */
  priceThousandRequests: number
  currency: string
}

const DAY = 86_400

/** The ages are those of backup.settings; the prices S3 Standard's in us-east-1, as of 2026. */
export const standardSettings: StatusSettings = {
  baseMaxAgeSeconds: 8 * DAY,
  drillMaxAgeSeconds: 31 * DAY,
  verifyMaxAgeSeconds: 8 * DAY,
  quietMaxSeconds: DAY,
  priceGbMonth: 0.023,
  priceThousandRequests: 0.005,
  currency: 'USD',
}

const Duration = z.union([z.string(), z.number()]).transform((value, context): number => {
  try {
    return parseDuration(String(value))
  } catch (error) {
    context.addIssue({
      code: 'custom',
      message: error instanceof PostboxError ? `${error.message}. ${error.hint}` : '',
    })
    return z.NEVER
  }
})

const Price = z.number({ error: 'must be a number' }).nonnegative('must not be negative')

/** The section `status` of keyholder.yaml: whatever it leaves out is as standardSettings says. */
export const StatusSection = z
  .strictObject({
    base_max_age: Duration.optional(),
    drill_max_age: Duration.optional(),
    verify_max_age: Duration.optional(),
    quiet_max: Duration.optional(),
    price_gb_month: Price.optional(),
    price_thousand_requests: Price.optional(),
    currency: z
      .string()
      .regex(/^\S{1,5}$/, 'must be a sign or a short name, such as USD')
      .optional(),
  })
  .transform((section): StatusSettings => ({
    baseMaxAgeSeconds: section.base_max_age ?? standardSettings.baseMaxAgeSeconds,
    drillMaxAgeSeconds: section.drill_max_age ?? standardSettings.drillMaxAgeSeconds,
    verifyMaxAgeSeconds: section.verify_max_age ?? standardSettings.verifyMaxAgeSeconds,
    quietMaxSeconds: section.quiet_max ?? standardSettings.quietMaxSeconds,
    priceGbMonth: section.price_gb_month ?? standardSettings.priceGbMonth,
    priceThousandRequests: section.price_thousand_requests ?? standardSettings.priceThousandRequests,
    currency: section.currency ?? standardSettings.currency,
  }))
