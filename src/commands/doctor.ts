import { Command } from 'commander'
import { workerConfig } from '../config.js'
import type { Check } from '../doctor/check.js'
import { examine } from '../doctor/doctor.js'
import { readCertificates } from './certificates.js'
import { interruptSignal } from './interrupt.js'
import { printed } from './table.js'

const help = `
Example:
  $ POSTBOX_DATABASE_URL=postgresql://postbox@localhost/postgres postbox doctor

Run it as the worker runs: with its environment, as its user, on its machine. It reads the database and changes nothing
there; it connects for replication, asks the issuer for a grant, and posts one line, <server>/doctor-….txt, into the box.
What the running worker says of itself is in backup.checks.

Exit codes: 0 nothing failed, though there may be warnings; 1 something did.`

const MARKS = { ok: 'ok', warn: 'warn', fail: 'FAIL', unknown: '?' }

/** `postbox doctor`: tries everything that the worker needs, and says what to fix. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action(async ({ json }: { json?: true }) => {
      const config = workerConfig()
      const access = { ca: readCertificates(config.boxCaFile), signal: interruptSignal() }
      const checks: Check[] = []
      for await (const check of examine(config, access)) {
        checks.push(check)
        if (!json) process.stdout.write(describe(check))
      }
      const healthy = checks.every(({ state }) => state !== 'fail')
      process.stdout.write(json ? `${JSON.stringify({ healthy, checks }, null, 1)}\n` : summary(checks))
      if (!healthy) process.exitCode = 1
    })
}

function describe({ name, state, seen, hint, code }: Check): string {
  const line = `${MARKS[state].padEnd(4)}  ${name.padEnd(23)} ${printed(seen)}${code === undefined ? '' : ` (${code})`}`
  const todo = hint === null || hint === '' ? '' : `${' '.repeat(6)}hint: ${printed(hint)}\n`
  return `${line.trimEnd()}\n${todo}`
}

function summary(checks: readonly Check[]): string {
  const count = (state: Check['state']) => checks.filter((check) => check.state === state).length
  const [failures, warnings] = [count('fail'), count('warn')]
  if (failures > 0) return `${failures} of ${checks.length} checks failed.\n`
  return warnings > 0 ? `Nothing failed; ${warnings} of ${checks.length} checks warn.\n` : 'All is well.\n'
}
