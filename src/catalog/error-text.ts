import type { PostboxError } from '../errors.js'

/** An error as the catalog keeps it. */
export interface ErrorText {
  code: string
  message: string
  hint: string
}

/**
 * Writes an error by `write`, in plain ASCII when the database does not take it as it is: what came from elsewhere may hold
 * characters that the encoding of the database lacks, and who failed must be able to say so.
 */
export async function writeError<T>(
  { code, message, hint }: PostboxError,
  write: (error: ErrorText) => Promise<T>,
): Promise<T> {
  try {
    return await write({ code, message, hint })
  } catch (thrown) {
    const plain = { code, message: asAscii(message), hint: asAscii(hint) }
    if (plain.message === message && plain.hint === hint) throw thrown
    return write(plain)
  }
}

/** Letters lose their accents; all else becomes a question mark. */
function asAscii(text: string): string {
  return text
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^\t\n -~]/gu, '?')
}
