import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { S3Error } from './errors.js'

type Given = (name: string) => string | undefined

/**
 * Checks an upload against the checksums stated for it, in form fields or headers of the same names.
 *
 * `required`: a bucket with a default retention takes nothing without one.
 */
export function checkContent(bytes: Buffer, given: Given, required: boolean): { sha256: string | null } {
  const sha256 = given('x-amz-checksum-sha256')
  const crc = given('x-amz-checksum-crc32')
  const md5 = given('content-md5')
  if (required && [sha256, crc, md5].every((value) => value === undefined)) {
    throw new S3Error(
      400,
      'InvalidRequest',
      'Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters',
    )
  }
  checkAlgorithm(given, sha256, crc)
  if (sha256 !== undefined) {
    checkForm('sha256', sha256, 32)
    if (createHash('sha256').update(bytes).digest('base64') !== sha256) throw badDigest('SHA256')
  }
  if (crc !== undefined) {
    checkForm('crc32', crc, 4)
    const actual = Buffer.alloc(4)
    actual.writeUInt32BE(crc32(bytes))
    if (actual.toString('base64') !== crc) throw badDigest('CRC32')
  }
  if (md5 !== undefined) {
    if (Buffer.from(md5, 'base64').length !== 16) {
      throw new S3Error(400, 'InvalidDigest', 'The Content-MD5 you specified was invalid.', { 'Content-MD5': md5 })
    }
    if (createHash('md5').update(bytes).digest('base64') !== md5) {
      throw new S3Error(400, 'BadDigest', 'The Content-MD5 you specified did not match what we received.')
    }
  }
  return { sha256: sha256 ?? null }
}

function checkAlgorithm(given: Given, sha256: string | undefined, crc: string | undefined): void {
  const algorithm = (given('x-amz-checksum-algorithm') ?? given('x-amz-sdk-checksum-algorithm'))?.toUpperCase()
  if (algorithm === undefined) return
  if (algorithm !== 'SHA256' && algorithm !== 'CRC32') {
    throw new S3Error(400, 'InvalidRequest', 'Checksum algorithm provided is unsupported.')
  }
  if ((algorithm === 'SHA256' ? sha256 : crc) === undefined) {
    throw new S3Error(
      400,
      'InvalidRequest',
      'x-amz-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    )
  }
}

function checkForm(name: string, value: string, length: number): void {
  if (Buffer.from(value, 'base64').length === length) return
  throw new S3Error(400, 'InvalidRequest', `Value for x-amz-checksum-${name} header is invalid.`)
}

const badDigest = (name: string): S3Error =>
  new S3Error(400, 'BadDigest', `The ${name} you specified did not match the calculated checksum.`)
