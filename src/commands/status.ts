import { writeFile } from 'node:fs/promises'
import { Command, InvalidArgumentError, Option } from 'commander'
import { checkServerName } from '../box/server-name.js'
import { keyholderFileIfAny } from '../config.js'
import { PostboxError } from '../errors.js'

import { fleetStatus } from '../keyholder/fleet/fleet-status.js'
import type { StatusReport } from '../keyholder/fleet/status-report.js'
import { standardSettings, type StatusSettings } from '../keyholder/fleet/status-settings.js'
import { readStatusSettings } from '../keyholder/known-servers.js'
import { parseDuration } from '../units.js'
import { parseJobs } from './parse-jobs.js'
import { statusPage } from './status-page.js'
import { describeStatus } from './status-table.js'
import { withArchive } from './with-archive.js'

const help = `
Examples:
  Every server of the bucket:
  $ postbox status

  The same as a page for a browser, with the windows drawn:
  $ postbox status --html status.html

It reads the bucket alone, and with few requests: their number grows with servers, base backups and dumps, not with WAL.
So of a long row of WAL its two ends are looked at; what is missing between them is known from "postbox verify --store", or
by --exact. "behind" is how long ago the newest WAL was stored: nothing newer can be restored. An idle server writes none,
and is not behind; the bucket cannot tell which it is, backup.status in the database can. "about" marks estimates. Times
are UTC.

What it warns of, and prices, stand in keyholder.yaml (POSTBOX_KEYHOLDER_FILE) under "status", where there is one; an
option goes before it. A server of that file that has stored nothing is critical.

Exit codes: 0 all is well, 3 there are warnings, 4 something is critical; 1 it could not be told, 2 the line is wrong.`

interface Options {
  server?: string
  json?: true
  html?: string
  exact?: boolean
  baseMaxAge?: number
  drillMaxAge?: number
  verifyMaxAge?: number
  quietMax?: number
  priceGbMonth?: number
  priceThousandRequests?: number
  currency?: string
  jobs: number
}

const EXIT_CODES = { ok: 0, warn: 3, crit: 4 } as const

/** `postbox status`: how every server of a bucket stands. */
export function statusCommand(): Command {
  const age = (flags: string, what: string, standard: string) =>
    new Option(flags, `${what} (default: ${standard})`).argParser(readDuration)
  const price = (flags: string, what: string) => new Option(flags, what).argParser(readPrice)
  const { priceGbMonth, priceThousandRequests } = standardSettings
  return new Command('status')
    .option('--server <name>', 'one server (default: all that are in the bucket)')
    .option('--html <file>', 'write a page for a browser, which needs nothing else; "-" prints it')
    .option('--exact', 'list every name: gaps, last commits and sizes as they are, and as many requests as that takes')
    .addOption(age('--base-max-age <time>', 'warn when the last base backup is older', '8d'))
    .addOption(age('--drill-max-age <time>', 'warn when no restore was proved for longer', '31d'))
    .addOption(age('--verify-max-age <time>', 'warn when a long row of WAL was not looked through for longer', '8d'))
    .addOption(age('--quiet-max <time>', 'warn when no WAL was stored for longer', '1d'))
    .addOption(price('--price-gb-month <number>', `of a GB (2^30 bytes) for a month (default: ${priceGbMonth})`))
    .addOption(
      price('--price-thousand-requests <number>', `of 1000 requests that store (default: ${priceThousandRequests})`),
    )
    .option('--currency <name>', `of the prices (default: ${standardSettings.currency})`)
    .addOption(new Option('--jobs <number>', 'servers to look at at once').argParser(parseJobs).default(4))
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(run)
}

async function run(options: Options): Promise<void> {
  const file = keyholderFileIfAny()
  const known = file === null ? { servers: [], settings: standardSettings } : await readStatusSettings(file)
  const server = options.server === undefined ? null : checkServerName(options.server)
  const report = await withArchive((archive, { bucket }) =>
    fleetStatus(archive, {
      bucket,
      server,
      known: { file: file ?? '', servers: known.servers },
      settings: settingsOf(known.settings, options),
      exact: options.exact ?? false,
      jobs: options.jobs,
      now: new Date(),
    }),
  )
  if (server !== null && report.servers.length === 0) {
    const hint = 'Run "postbox status" to see which servers are in the bucket.'
    throw new PostboxError('backup_missing', `nothing is stored for server ${server}`, hint)
  }
  await print(report, options)
  process.exitCode = EXIT_CODES[report.level]
}

async function print(report: StatusReport, { json, html }: Options): Promise<void> {
  if (html !== undefined && html !== '-') await writePage(html, report)
  if (json) process.stdout.write(JSON.stringify(report, null, 1) + '\n')
  else process.stdout.write(html === '-' ? statusPage(report) : describeStatus(report))
}

async function writePage(file: string, report: StatusReport): Promise<void> {
  try {
    await writeFile(file, statusPage(report))
  } catch (cause) {
    throw new PostboxError('bad_argument', `${file} cannot be written`, 'Name a file that this user may write.', {
      cause,
    })
  }
}

function settingsOf(known: StatusSettings, options: Options): StatusSettings {
  return {
    baseMaxAgeSeconds: options.baseMaxAge ?? known.baseMaxAgeSeconds,
    drillMaxAgeSeconds: options.drillMaxAge ?? known.drillMaxAgeSeconds,
    verifyMaxAgeSeconds: options.verifyMaxAge ?? known.verifyMaxAgeSeconds,
    quietMaxSeconds: options.quietMax ?? known.quietMaxSeconds,
    priceGbMonth: options.priceGbMonth ?? known.priceGbMonth,
    priceThousandRequests: options.priceThousandRequests ?? known.priceThousandRequests,
    currency: options.currency ?? known.currency,
  }
}

function readDuration(text: string): number {
  try {
    return parseDuration(text)
  } catch {
    throw new InvalidArgumentError('Write it as 90s, 30min, 12h or 7d.')
  }
}

function readPrice(text: string): number {
  if (!/^\d{1,9}(\.\d{1,9})?$/.test(text)) throw new InvalidArgumentError('Write it as 0.023.')
  return Number(text)
}
