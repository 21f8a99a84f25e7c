import type { Body } from './body.js'
import { S3Error } from './errors.js'

/** Fields of a posted form up to its file, names in lower case (S3 takes them so), in their order. */
export interface FormFields {
  fields: Map<string, string>
  /** null when the form has no file */
  filename: string | null
  /** where the file's bytes begin in the body */
  fileStart: number
}

/** All of a form but its file; S3 counts boundaries and part headers in. */
const MAX_BYTES_BEFORE_FILE = 20 * 1024

const tooLarge = (): S3Error =>
  new S3Error(
    400,
    'MaxPostPreDataLengthExceeded',
    'Your POST request fields preceeding the upload file was too large.',
    { MaxPostPreDataLengthBytes: String(MAX_BYTES_BEFORE_FILE) },
  )

const malformed = (): S3Error =>
  new S3Error(400, 'MalformedPOSTRequest', 'The body of your POST request is not well-formed multipart/form-data.')

/** The boundary of a multipart/form-data content type; S3 answers 412 to any other type. */
export function formBoundary(contentType: string | undefined): string {
  const match = /^multipart\/form-data\s*;.*?boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType ?? '')
  if (!match) {
    throw new S3Error(412, 'PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
      Condition: 'Bucket POST must be of the enclosure-type multipart/form-data',
    })
  }
  return match[1] ?? match[2]!
}

/** Reads the fields, and stops where the file begins: whatever comes after the file does not count. */
export async function readFields(body: Body, boundary: string): Promise<FormFields> {
  const fields = new Map<string, string>()
  let at = (await find(body, `--${boundary}`, 0)) + boundary.length + 2
  for (;;) {
    // After a boundary stands a line end, or two hyphens that end the form.
    const lineEnd = await find(body, '', at + 2)
    const after = body.received.toString('latin1', at, lineEnd)
    if (after === '--') return { fields, filename: null, fileStart: at }
    if (after !== '\r\n') throw malformed()
    const headEnd = await find(body, '\r\n\r\n', at)
    const { name, filename } = partHead(body.received.toString('utf8', at + 2, headEnd))
    const valueStart = headEnd + 4
    if (name === 'file') {
      if (valueStart > MAX_BYTES_BEFORE_FILE) throw tooLarge()
      return { fields, filename: filename ?? '', fileStart: valueStart }
    }
    const valueEnd = await find(body, `\r\n--${boundary}`, valueStart)
    fields.set(name, body.received.toString('utf8', valueStart, valueEnd))
    at = valueEnd + boundary.length + 4
  }
}

/** The file's bytes: all that follows, up to the closing boundary. */
export async function readFile(body: Body, boundary: string, fileStart: number): Promise<Buffer> {
  const whole = await body.whole()
  const end = whole.indexOf(`\r\n--${boundary}`, Math.max(fileStart - 2, 0), 'latin1')
  if (end < 0 || whole.length !== body.length) throw malformed()
  return whole.subarray(fileStart, end)
}

/** Position of `mark` at or after `from`, waiting for bytes as needed. An empty mark waits for the byte before `from`. */
async function find(body: Body, mark: string, from: number): Promise<number> {
  for (;;) {
    const received = body.received
    const at = mark === '' ? (received.length >= from ? from : -1) : received.indexOf(mark, from, 'latin1')
    if (at >= 0) return at
    if (received.length > MAX_BYTES_BEFORE_FILE + mark.length) throw tooLarge()
    if (!(await body.more())) throw malformed()
  }
}

function partHead(head: string): { name: string; filename: string | null } {
  const disposition = head.split('\r\n').find((line) => /^content-disposition:\s*form-data\s*;/i.test(line))
  const name = /[;\s]name="([^"]*)"/i.exec(disposition ?? '')?.[1]
  if (name === undefined) throw malformed()
  return { name: name.toLowerCase(), filename: /[;\s]filename="([^"]*)"/i.exec(disposition!)?.[1] ?? null }
}
