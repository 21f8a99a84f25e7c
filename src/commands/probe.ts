import { Command } from 'commander'
import { keyholderConfig } from '../config.js'
import { probeBucket, type Probe } from '../keyholder/probe/probe.js'
import { storeProbe } from '../keyholder/probe/stored-probe.js'
import { openS3 } from '../keyholder/s3-client.js'
import { readCertificates } from './certificates.js'
import { table } from './table.js'

const help = `
Example:
  $ POSTBOX_BUCKET=acme-backups postbox probe

It posts a few small objects under .postbox/probe/, looks at what became of them, and deletes them again where that is
possible. The S3 key needs what a signer and a reader need, s3:GetObjectRetention, and s3:PutObject below .postbox/ to keep
the result, which "postbox list" shows.

Exit codes: 0 everything is as it should be, 1 something is not.`

/** `postbox probe`: what a bucket does with what is posted into it. */
export function probeCommand(): Command {
  return new Command('probe')
    .option('--no-store', 'do not keep the result in the bucket')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async ({ store, json }: { store: boolean; json?: true }) => {
      const config = keyholderConfig()
      const s3 = openS3(config)
      try {
        const probe = await probeBucket(s3, config.bucket, readCertificates(config.caFile))
        const key = store ? await storeProbe(s3, config.bucket, probe) : null
        process.stdout.write(json ? JSON.stringify(probe, null, 1) + '\n' : describe(probe, key))
        if (probe.findings.some(({ outcome }) => outcome === 'bad')) process.exitCode = 1
      } finally {
        s3.destroy()
      }
    })
}

const MARKS = { good: 'ok', weak: 'weak', bad: 'BAD', unknown: '?' }

function describe({ bucket, immutable, retention, findings }: Probe, key: string | null): string {
  const rows = findings.map(({ name, outcome, seen, meaning }) => [MARKS[outcome], name, seen, meaning])
  return [
    `bucket ${bucket}`,
    ...table(['', 'what was tried', 'what was seen', 'what it means'], rows),
    immutable
      ? `Immutable: what is posted now cannot be deleted before ${retention!.until}.`
      : 'Not immutable: who has a key that may delete can delete backups.',
    ...(key === null ? [] : [`The result is kept as ${key}.`]),
    '',
  ].join('\n')
}
