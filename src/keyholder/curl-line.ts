import { PostboxError } from '../errors.js'

export interface CurlUpload {
  /** where to POST, and the signed form that goes there */
  url: string
  fields: Readonly<Record<string, string>>
  key: string
  /** path of the file, where the line will be run */
  file: string
  /** bytes per second as curl reads them, such as `10M` */
  limitRate: string | null
  /** path of certificates to trust, where the line will be run */
  caFile: string | null
}

/**
 * One line for a POSIX shell that uploads a file with curl 7.76 or newer.
 *
 * The signed fields go to curl through its standard input, so that no other user reads them in the list of processes;
 * printf is part of the shell. The SHA-256 is computed by the line: S3 refuses bytes that differ from it.
 */
export function curlLine({ url, fields, key, file, limitRate, caFile }: CurlUpload): string {
  for (const text of [url, key, file, limitRate ?? '', caFile ?? '', ...Object.values(fields)]) refuseControls(text)
  const form = { key, 'content-type': 'application/octet-stream', ...fields }
  const settings = Object.entries(form).map(([name, value]) => `form-string = ${doubleQuoted(`${name}=${value}`)}`)
  return [
    `printf '%s\\n' ${settings.map(shellQuoted).join(' ')} |`,
    'curl --silent --show-error --fail-with-body --retry 5',
    ...(limitRate === null ? [] : [`--limit-rate ${shellQuoted(limitRate)}`]),
    ...(caFile === null ? [] : [`--cacert ${shellQuoted(caFile)}`]),
    '--config -',
    `--form-string "x-amz-checksum-sha256=$(openssl dgst -sha256 -binary < ${shellQuoted(file)} | base64)"`,
    // Last: S3 ignores every field after the file. The name is our own, since a form has its own rules for odd ones.
    `--form ${shellQuoted(`file=@${doubleQuoted(file)};filename=upload`)}`,
    shellQuoted(url),
  ].join(' ')
}

/** Any text as one word of a POSIX shell. */
export function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/** As curl reads quoted words, in its config files and in --form alike. */
function doubleQuoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`
}

function refuseControls(text: string): void {
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f]/.test(text)) {
    throw new PostboxError(
      'bad_argument',
      `${JSON.stringify(text)} cannot be in a curl line: it has control characters`,
      'Give the file a plain name.',
    )
  }
}
