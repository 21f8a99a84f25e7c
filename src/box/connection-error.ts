import { PostboxError } from '../errors.js'

/** What the codes of Node and undici mean to an operator; any other is shown as it is. */
const MEANINGS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed while sending',
  ETIMEDOUT: 'the connection timed out',
  ENOTFOUND: 'the name is unknown',
  EAI_AGAIN: 'the name server did not answer',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within 10 s',
  UND_ERR_HEADERS_TIMEOUT: 'no answer within 60 s',
  UND_ERR_BODY_TIMEOUT: 'the answer stopped for 60 s',
  UND_ERR_SOCKET: 'the connection was closed',
}

const TLS_CODE = /^(?:ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)|_CERT(?:IFICATE)?(?:_|$)|EPROTO/

/** A failed connection as `box_unavailable`: the part may be stored or not, and is posted again under the same key. */
export function connectionError(thrown: unknown, key: string, host: string): PostboxError {
  const code = codeOf(thrown)
  const text = MEANINGS[code] ?? (thrown instanceof Error ? thrown.message : String(thrown))
  const hint = TLS_CODE.test(code)
    ? 'The TLS certificate is not trusted: set POSTBOX_CA_FILE to the certificate of its authority, or mend the URL.'
    : 'Postbox tries again by itself; see whether S3 and the network are well if it goes on.'
  const told = code === '' || text.includes(code) ? text : `${text} (${code})`
  return new PostboxError('box_unavailable', `${key} could not be posted to ${host}: ${told}`, hint, { cause: thrown })
}

function codeOf(thrown: unknown): string {
  // Several addresses tried in vain come as one error that holds the others.
  const first = thrown instanceof AggregateError ? (thrown.errors[0] as unknown) : thrown
  const code = (first as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}
