import { PostboxError, type ErrorCode } from './errors.js'

/** A PostboxError as plain data, for the way between threads. */
export interface PlainError {
  code: ErrorCode
  message: string
  hint: string
}

export const plain = ({ code, message, hint }: PostboxError): PlainError => ({ code, message, hint })

export const unplain = ({ code, message, hint }: PlainError): PostboxError => new PostboxError(code, message, hint)
