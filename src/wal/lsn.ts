import { PostboxError } from '../errors.js'

/** A position in the WAL, in bytes from its beginning. Postgres prints it as two hexadecimal halves, `16/B374D848`. */
export type Lsn = bigint

const TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/

/** Reads Postgres's text form. Throws `bad_argument` when it is not one. */
export function parseLsn(text: string): Lsn {
  const match = TEXT.exec(text)
  if (!match) {
    throw new PostboxError('bad_argument', `"${text}" is not an LSN`, 'Write it as Postgres does, such as 0/16B3748.')
  }
  return (BigInt(`0x${match[1]!}`) << 32n) | BigInt(`0x${match[2]!}`)
}

/** Postgres's text form, without leading zeros: `0/16B3748`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`
}
