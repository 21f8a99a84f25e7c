import { Command } from 'commander'
import { readChecks, type Check, type Figures } from '../catalog/checks.js'
import { findPrimary } from '../catalog/find-primary.js'
import { databaseUrls } from '../config.js'
import { asPostboxError } from '../errors.js'

interface Options {
  databaseUrl?: string
  json?: true
}

/** For the whole command: Nagios gives up after 10 s. */
const WITHIN_MS = 8000
/** A primary that runs answers sooner. */
const OTHERS_MS = 1000

const EXIT_CODE = { ok: 0, warn: 1, crit: 2, unknown: 3 } as const

const help = `
Examples:
  $ POSTBOX_DATABASE_URL=postgresql://monitoring@localhost/postgres postbox check

  The login is a member of backup_monitor. Of several servers the primary is asked.

Exit codes: 0 all is well, 1 a warning, 2 critical, 3 the checks could not be read.`

/** `postbox check`: the view backup.checks as a plugin of Nagios and its heirs. */
export function checkCommand(): Command {
  return new Command('check')
    .option('--database-url <url>', 'where the catalog is (default: POSTBOX_DATABASE_URL, better for passwords)')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async (options: Options) => {
      const { state, text } = await look(options)
      process.exitCode = EXIT_CODE[state]
      // A name of a server that is still being looked up would keep the process.
      process.stdout.write(text, (error) => error ?? process.exit())
    })
}

async function look({ databaseUrl, json }: Options): Promise<{ state: keyof typeof EXIT_CODE; text: string }> {
  try {
    const urls = databaseUrls(databaseUrl === undefined ? undefined : { POSTBOX_DATABASE_URL: databaseUrl })
    const signal = AbortSignal.timeout(WITHIN_MS)
    const url = await findPrimary(urls, () => undefined, { signal, othersMs: OTHERS_MS })
    const { checks, figures } = await readChecks(url, signal)
    const state = worst(checks)
    return {
      state,
      text: json ? `${JSON.stringify({ state, checks, figures }, null, 1)}\n` : describe(checks, figures),
    }
  } catch (thrown) {
    const { code, message, hint } = asPostboxError(thrown)
    const text = json
      ? `${JSON.stringify({ state: 'unknown', error: { code, message, hint } })}\n`
      : `POSTBOX UNKNOWN - ${plain(message)}\nhint: ${plain(hint)}\n`
    return { state: 'unknown', text }
  }
}

export function worst(checks: readonly Check[]): 'ok' | 'warn' | 'crit' {
  return (['crit', 'warn'] as const).find((state) => checks.some((check) => check.state === state)) ?? 'ok'
}

/** The line that a monitor shows, its figures, and a line for each check that is not ok. */
export function describe(checks: readonly Check[], figures: Figures): string {
  const troubles = (['crit', 'warn'] as const).flatMap((state) => checks.filter((check) => check.state === state))
  const said = troubles.map(({ name, message }) => `${name}: ${plain(message)}`).join('; ')
  const lines = troubles.map(
    ({ name, state, message, hint }) =>
      `${state} ${name}: ${plain(message)}${hint === null ? '' : ` (${plain(hint)})`}`,
  )
  const first = `POSTBOX ${worst(checks).toUpperCase()} - ${said || `all ${checks.length} checks are ok`}`
  return [`${first}|${perfdata(checks, figures)}`, ...lines].join('\n') + '\n'
}

/** label=value[unit];warn;crit;min as the Monitoring Plugins' guidelines have it; U: not known. */
function perfdata(checks: readonly Check[], figures: Figures): string {
  const { wal_max_delay, wal_max_at_risk, base_max_age, grant_warn_before } = figures
  const figure = (label: string, value: number | null, unit: string, limits: string) =>
    `${label}=${value === null ? 'U' : `${Math.round(value * 1000) / 1000}${unit}`};${limits}`
  const count = (state: Check['state']) => checks.filter((check) => check.state === state).length
  return [
    figure('seconds_at_risk', figures.seconds_at_risk, 's', `${wal_max_delay / 2};${wal_max_delay};0`),
    figure('bytes_at_risk', figures.bytes_at_risk, 'B', `${wal_max_at_risk / 2};${wal_max_at_risk};0`),
    figure('base_age', figures.base_age_seconds, 's', `${base_max_age};${2 * base_max_age};0`),
    // Too little is what is wrong.
    figure('grant_left', figures.grant_seconds_left, 's', `${grant_warn_before}:;0:`),
    figure('checks_warn', count('warn'), '', ';;0'),
    figure('checks_crit', count('crit'), '', ';;0'),
  ].join(' ')
}

/** A bar begins the figures, a line break the next line. */
const plain = (text: string): string => text.replace(/\s+/g, ' ').replaceAll('|', '/')
