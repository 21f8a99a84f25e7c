import { basename } from 'node:path'
import { Command, Option } from 'commander'
import { keyholderConfig } from '../config.js'
import { PostboxError } from '../errors.js'
import { curlLine } from '../keyholder/curl-line.js'
import { openS3 } from '../keyholder/s3-client.js'
import { defaultMaxPartBytes, signGrant, signUpload, type SignOptions } from '../keyholder/sign.js'
import { maxObjectBytes } from '../keyholder/sign-policy.js'
import { parseBytes, parseDuration } from '../units.js'

interface GrantOptions {
  server: string
  expires: number
  maxPartBytes?: number
  force?: true
  curl?: true
  file?: string
  limitRate?: string
}

const help = `
Examples:
  Hand a grant to a database whose worker cannot reach an issuer:
  $ psql -h db1 -c "select backup.install_grant('$(postbox grant --server db1 --expires 12h)')"

  Let a machine upload one file with nothing but a shell, curl and openssl:
  $ postbox grant --server db1 --expires 1h --curl --file /var/backups/etc.tar.gz --limit-rate 10M | ssh db1 sh

A grant cannot be taken back before it ends, but by deactivating the S3 key that signed it.`

/** `postbox grant`: prints a grant as JSON, or a curl line that uploads a file. */
export function grantCommand(): Command {
  return new Command('grant')
    .requiredOption('--server <name>', 'the server that may post, under NAME/')
    .addOption(
      new Option('--expires <time>', 'how long it lasts, such as 90s, 30min, 12h or 7d')
        .argParser(parseDuration)
        .default(parseDuration('12h'), '12h'),
    )
    .option('--max-part-bytes <size>', 'the largest object it allows (default: 64MiB; with --curl 5GiB)', parseBytes)
    .option('--force', 'sign for longer than seven days')
    .option('--curl', 'print a shell line that uploads --file to NAME/upload/, in place of JSON')
    .option('--file <path>', 'with --curl: the file, by its path on the machine that runs the line')
    .option('--limit-rate <speed>', "with --curl: bytes per second, as curl's own option, such as 10M")
    .addHelpText('after', help)
    .action(async (options: GrantOptions) => {
      process.stdout.write((await printed(options)) + '\n')
    })
}

async function printed(options: GrantOptions): Promise<string> {
  checkTogether(options)
  const config = keyholderConfig()
  const s3 = openS3(config)
  const sign: SignOptions = {
    s3,
    bucket: config.bucket,
    server: options.server,
    expiresInSeconds: options.expires,
    maxPartBytes: options.maxPartBytes ?? (options.curl ? maxObjectBytes : defaultMaxPartBytes),
    force: options.force ?? false,
    warn: (message) => process.stderr.write(`warning: ${message}\n`),
  }
  try {
    if (!options.curl) return sqlSafe(JSON.stringify(await signGrant(sign)))
    const { url, fields, keyPrefix } = await signUpload(sign)
    const file = options.file!
    const { limitRate = null } = options
    return curlLine({ url, fields, key: keyPrefix + fileName(file), file, limitRate, caFile: config.caFile })
  } finally {
    s3.destroy()
  }
}

/** JSON that can stand between single quotes in SQL. */
const sqlSafe = (json: string): string => json.replaceAll("'", '\\u0027')

function fileName(file: string): string {
  const name = basename(file)
  // A form would put the name of the sent file in the place of ${filename}.
  if (name === '' || name === '.' || name === '..' || name.includes('${filename}')) {
    throw new PostboxError(
      'bad_argument',
      `"${file}" does not name a file`,
      'Name the file that the line is to upload.',
    )
  }
  return name
}

function checkTogether({ curl, file, limitRate }: GrantOptions): void {
  if (curl && file === undefined) {
    throw new PostboxError('bad_argument', '--curl needs --file', 'Say which file the line is to upload.')
  }
  if (!curl && (file !== undefined || limitRate !== undefined)) {
    throw new PostboxError('bad_argument', '--file and --limit-rate go with --curl only', 'Add --curl.')
  }
  if (limitRate !== undefined && !/^[1-9]\d*(\.\d+)?[kKmMgG]?$/.test(limitRate)) {
    throw new PostboxError('bad_argument', `"${limitRate}" is no speed for curl`, 'Write it as 500k, 10M or 1G.')
  }
}
