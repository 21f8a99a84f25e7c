import type { Grant } from './grant.js'

/** Elements in which S3 repeats what was signed, and by whom. */
const TELLING =
  /<(StringToSign|StringToSignBytes|SignatureProvided|AWSAccessKeyId|CanonicalRequest|CanonicalRequestBytes)>[^<]*<\/\1>/g

/** Fields of a grant that let others post, or name the key that signed it. */
const SECRET_FIELDS = ['policy', 'x-amz-signature', 'x-amz-credential', 'x-amz-security-token']

/** A service's text without what the grant keeps secret. */
export function redact(text: string, { fields }: Pick<Grant, 'fields'>): string {
  const values = SECRET_FIELDS.map((name) => fields[name] ?? '')
  const accessKey = fields['x-amz-credential']?.split('/')[0] ?? ''
  return [...values, accessKey]
    .filter((value) => value.length > 3)
    .reduce((rest, value) => rest.replaceAll(value, '***'), text.replace(TELLING, '<$1>***</$1>'))
}
