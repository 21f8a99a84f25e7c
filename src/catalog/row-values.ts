import { z } from 'zod'
import { formatLsn, type Lsn } from '../wal/lsn.js'

/** Whole numbers come as text, because bigint has more digits than a JavaScript number. */
export const BigIntText = z
  .string()
  .regex(/^-?\d+$/)
  .transform(BigInt)

/** A whole number that JavaScript can hold, from text. */
export const NumberText = BigIntText.refine(
  (value) => value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER,
).transform(Number)

/** A function that returns void answers with an empty text, or null when it is written in SQL. */
export const Nothing = z.object({ nothing: z.literal(['', null]) })

/**
 * A system identifier for a bigint argument. Postgres prints it without a sign and keeps it in 64 bits, as
 * pg_control_system() does: from 2038 on the two differ.
 */
export const systemIdentifierArgument = (decimal: string): string => BigInt.asIntN(64, BigInt(decimal)).toString()

/** The same back again: from a bigint's text to what Postgres prints. */
export const SystemIdentifier = BigIntText.transform((value) => BigInt.asUintN(64, value).toString())

export const lsnArgument = (lsn: Lsn): string => formatLsn(lsn)
