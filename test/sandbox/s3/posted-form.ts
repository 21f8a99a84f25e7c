/** Where things stand in the body of a posted form, in bytes from its beginning. */
export interface PostedForm {
  /** where the body begins in the request */
  bodyAt: number
  key: string
  keyAt: number
  policyAt: number
  /** the boundary in front of the file */
  boundaryAt: number
  fileAt: number
  /** the first byte of the closing boundary */
  fileEnd: number
  /** all of the body */
  bytes: number
}

/** Reads as much of a request as says all this; null while too little has arrived. */
export function readPostedForm(received: Buffer): PostedForm | null {
  const headEnd = received.indexOf('\r\n\r\n')
  if (headEnd < 0) return null
  const head = received.toString('latin1', 0, headEnd)
  const bodyAt = headEnd + 4
  const boundary = /boundary=([^;\s]+)/i.exec(head)?.[1]
  const bytes = Number(/^content-length: (\d+)/im.exec(head)?.[1])
  if (boundary === undefined || !(bytes > 0)) throw new Error(`no form: ${head}`)

  const body = received.subarray(bodyAt)
  const file = body.indexOf('name="file"')
  const fileHeadEnd = body.indexOf('\r\n\r\n', file)
  if (file < 0 || fileHeadEnd < 0) return null
  const keyAt = valueAt(body, 'key')
  return {
    ...{ bodyAt, keyAt, bytes },
    key: body.toString('utf8', keyAt, body.indexOf('\r\n', keyAt)),
    policyAt: valueAt(body, 'policy'),
    boundaryAt: body.lastIndexOf(`--${boundary}`, file),
    fileAt: fileHeadEnd + 4,
    fileEnd: bytes - `\r\n--${boundary}--\r\n`.length,
  }
}

const valueAt = (body: Buffer, name: string): number => body.indexOf('\r\n\r\n', body.indexOf(`name="${name}"`)) + 4
