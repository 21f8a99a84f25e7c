/** An answer that S3 gives instead of doing what was asked: status, code, text and further elements of its XML. */
export class S3Error extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: Readonly<Record<string, string>> = {},
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message)
  }
}

/** The connection ends here without an answer. */
export class Cut extends Error {}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text that may stand in XML. Carriage returns and other controls become references, as S3 writes them. */
export function escapeXml(text: string): string {
  const escaped = text.replace(/[&<>"']/g, (char) => ESCAPES[char]!)
  // eslint-disable-next-line no-control-regex
  return escaped.replace(/[\x00-\x08\x0b-\x1f]/g, (char) => `&#${char.charCodeAt(0)};`)
}

/** `<name>text</name>`. */
export const element = (name: string, text: string | number | boolean): string =>
  `<${name}>${escapeXml(String(text))}</${name}>`

export const XML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

/** The body of an error answer. */
export function errorXml(error: S3Error, requestId: string): string {
  const details = Object.entries(error.details).map(([name, text]) => element(name, text))
  return `${XML_HEAD}<Error>${element('Code', error.code)}${element('Message', error.message)}${details.join('')}${element('RequestId', requestId)}${element('HostId', 'local')}</Error>`
}

export const noSuchBucket = (bucket: string): S3Error =>
  new S3Error(404, 'NoSuchBucket', 'The specified bucket does not exist', { BucketName: bucket })

export const accessDenied = (message = 'Access Denied'): S3Error => new S3Error(403, 'AccessDenied', message)

export const notImplemented = (what: string): S3Error =>
  new S3Error(501, 'NotImplemented', 'A header you provided implies functionality that is not implemented', {
    Header: what,
  })
