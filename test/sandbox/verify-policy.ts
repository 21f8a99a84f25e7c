import { createHmac } from 'node:crypto'

export interface SigningScope {
  secretKey: string
  /** `yyyymmdd` */
  date: string
  region: string
}

/**
 * SigV4 of a policy as AWS describes it, by node:crypto alone: a second opinion on what an SDK signed.
 *
 * https://docs.aws.amazon.com/AmazonS3/latest/developerguide/sigv4-authentication-HTTPPOST.html
 */
export function policySignature(policyBase64: string, { secretKey, date, region }: SigningScope): string {
  const scope = [date, region, 's3', 'aws4_request']
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${secretKey}`)
  return hmac(key, policyBase64).toString('hex')
}

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

export interface DecodedPolicy {
  expiration: string
  conditions: unknown[]
}

export function decodePolicy(policyBase64: string): DecodedPolicy {
  return JSON.parse(Buffer.from(policyBase64, 'base64').toString('utf8')) as DecodedPolicy
}
