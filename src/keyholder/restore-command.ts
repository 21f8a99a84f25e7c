import { realpathSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Home } from '../box/key-names.js'
import type { KeyholderConfig } from '../config.js'

/** Where fetch-wal keeps segments that are not yet asked for: never part of a base backup, and on pg_wal's file system. */
export const SPOOL = 'pg_wal/postbox-spool'

/** What a restore whose WAL two servers wrote follows; there for the same reasons, and gone with recovery too. */
export const CHOICE = 'pg_wal/postbox-choice.json'

/** Exit code by which fetch-wal tells our shell line that the archive does not have a file; Node itself ends with no such code. */
export const ABSENT_EXIT = 66

const PRELOAD_OPTIONS = ['--import', '--require', '-r', '--loader', '--experimental-loader']

/** A word for a POSIX shell. */
export const shellQuote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** As postbox.sh has it; the prefetcher would look through its whole heap for every third segment. */
const HEAP_OPTION = '--max-semi-space-size=1'

/** The words that start this Postbox again from any directory. `cwd`: what relative options of Node refer to. */
export function ownInvocation(execArgv: readonly string[] = process.execArgv, cwd = process.cwd()): string[] {
  const here = fileURLToPath(import.meta.url)
  const script = realpathSync(resolve(here, `../../cli${extname(here)}`))
  const options = absoluteOptions(execArgv, cwd).filter((word) => word !== HEAP_OPTION)
  return [process.execPath, HEAP_OPTION, ...options, script]
}

/** The script that asks the prefetcher. */
function fetchWalPerl(): string {
  return realpathSync(fileURLToPath(new URL('../fetch-wal.pl', import.meta.url)))
}

function absoluteOptions(execArgv: readonly string[], cwd: string): string[] {
  const absolute = (path: string) => (/^\.\.?\//.test(path) ? pathToFileURL(resolve(cwd, path)).href : path)
  return execArgv.map((word, index) => {
    const [option, value] = word.split(/=(.*)/s)
    if (value !== undefined && PRELOAD_OPTIONS.includes(option!)) return `${option!}=${absolute(value)}`
    return PRELOAD_OPTIONS.includes(execArgv[index - 1] ?? '') ? absolute(word) : word
  })
}

/** What fetch-wal needs to know of a RestorePlan. */
export interface WalPlan {
  home: Home
  choice: object | null
  backup: { manifest: { wal_segment_bytes: number } }
}

/** Arguments of fetch-wal that say where the archive is. They hold no secret: keys come by the AWS SDK's usual chain. */
export function fetchWalArguments(config: KeyholderConfig, plan: WalPlan): string[] {
  const { home, choice, backup } = plan
  return [
    ...['--server', home.server, '--system-identifier', home.systemIdentifier],
    ...['--bucket', config.bucket, '--region', config.region],
    ...(config.endpoint === null ? [] : ['--endpoint', config.endpoint]),
    ...(config.pathStyle ? ['--path-style'] : []),
    ...(config.caFile === null ? [] : ['--ca-file', resolve(config.caFile)]),
    ...(choice ? ['--choice', CHOICE] : []),
    ...['--segment-bytes', String(backup.manifest.wal_segment_bytes)],
  ]
}

/**
 * The restore_command: what the spool has is moved into place, and what it lacks is asked of the prefetcher, without
 * starting Node. Where there is no Perl, or there is any trouble, Node sees to it.
 *
 * Postgres takes exit codes up to 125 for "the archive has no more", ends recovery and would promote too early. So only
 * the one code that nothing but fetch-wal's clear answer gives becomes 1; a missing Node, a crash or a wrong option
 * becomes 255, which stops recovery until the cause is mended.
 *
 * Postgres runs it in the data directory, with %f (file name) and %p (where to put it); %% is a percent sign.
 */
export function restoreCommandLine(invocation: readonly string[], fetchArguments: readonly string[]): string {
  const words = [...invocation, 'fetch-wal', ...fetchArguments, '--spool', SPOOL, '--absent-exit', String(ABSENT_EXIT)]
  const quoted = (some: readonly string[]) => some.map((word) => shellQuote(word).replaceAll('%', '%%')).join(' ')
  const perl = `LC_ALL=C perl ${quoted([fetchWalPerl()])} '${SPOOL}' '%f' '%p' "$@"`
  return [
    `set -- ${quoted(words)}; mv -f '${SPOOL}/%f' '%p' 2>/dev/null || {`,
    `command -v perl >/dev/null && { ${perl}; case $? in 80) exit 0;; 81) exit 1;; esac; };`,
    `"$@" '%f' '%p' || { [ $? -eq ${ABSENT_EXIT} ] && exit 1; exit 255; }; }`,
  ].join(' ')
}

/** The recovery_end_command: removes the spool and the choice. The spool is renamed first, so that a running prefetcher finds it gone at once. */
export function recoveryEndCommandLine(): string {
  return `rm -f '${CHOICE}'; mv '${SPOOL}' '${SPOOL}.old' 2>/dev/null && rm -rf '${SPOOL}.old'; true`
}
