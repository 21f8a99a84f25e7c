/** A character of UTF-8, byte by byte, or what is none. */
const CHARACTER =
  /[^\x80-\xff]+|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|\xed[\x80-\x9f][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xf0[\x90-\xbf][\x80-\xbf]{2}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|[^]/g
const LONE = /[\udc80-\udcff]/u

/**
 * What a database without an encoding holds, of a text with a character for each byte: UTF-8 where it is that, and a lone
 * surrogate, U+DC00 and the byte, for each byte that is no part of a character.
 */
export function withLoneBytes(latin1: string): string {
  return latin1.replace(CHARACTER, (one) =>
    one.length === 1 && one > '\x7f'
      ? String.fromCharCode(0xdc00 + one.charCodeAt(0))
      : Buffer.from(one, 'latin1').toString('utf8'),
  )
}

/** Whether a text has bytes that are no part of a character. */
export const hasLoneBytes = (text: string): boolean => LONE.test(text)

/** The bytes that such a text stands for. */
export function bytesOf(text: string): Buffer {
  const pieces = text.split(/([\udc80-\udcff])/u)
  return Buffer.concat(
    pieces.map((piece, at) => (at % 2 === 0 ? Buffer.from(piece) : Buffer.of(piece.charCodeAt(0) & 0xff))),
  )
}
