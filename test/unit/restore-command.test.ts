import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { recoveryConfiguration, type RecoverySettings } from '../../src/keyholder/recovery-settings.js'
import {
  ABSENT_EXIT,
  fetchWalArguments,
  ownInvocation,
  recoveryEndCommandLine,
  restoreCommandLine,
  SPOOL,
} from '../../src/keyholder/restore-command.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'

afterAll(() => removeScratch())

const AWKWARD = `it's 100% "awkward" \\ $HOME`
let dataDir: string

beforeEach(async () => {
  dataDir = join(await scratchDir('cmd'), AWKWARD)
  await mkdir(join(dataDir, SPOOL), { recursive: true })
})

/** What Postgres does with a restore_command: %f, %p and %% are replaced, and /bin/sh gets the rest. */
function asPostgres(command: string, file: string, path: string) {
  const line = command.replace(/%([fp%])/g, (_, what: string) => ({ f: file, p: path, '%': '%' })[what]!)
  return spawnSync('/bin/sh', ['-c', line], { cwd: dataDir, encoding: 'utf8' })
}

/** A stand-in for node that writes its arguments down and ends as it is told. */
async function program(exitCode: number): Promise<string> {
  const path = join(dataDir, 'my node')
  await writeFile(path, `#!/bin/sh\nfor one in "$@"; do printf '%s\\n' "$one"; done > arguments\nexit ${exitCode}\n`)
  await chmod(path, 0o755)
  return path
}

describe('the restore_command', () => {
  test('moves a segment out of the spool without starting anything', async () => {
    await writeFile(join(dataDir, SPOOL, '000000010000000000000003'), 'wal')
    const command = restoreCommandLine(['/nowhere/node'], [])
    expect(asPostgres(command, '000000010000000000000003', 'pg_wal/RECOVERYXLOG').status).toBe(0)
    expect(await readFile(join(dataDir, 'pg_wal/RECOVERYXLOG'), 'utf8')).toBe('wal')
    expect(await readdir(join(dataDir, SPOOL))).toEqual([])
  })

  test('hands every word to fetch-wal as it was', async () => {
    const words = ['--server', AWKWARD, '--ca-file', '/tmp/a b/%p%f%']
    const result = asPostgres(restoreCommandLine([await program(0), '--import', AWKWARD], words), 'FILE', 'pg_wal/X Y')
    expect(result.status).toBe(0)
    const given = (await readFile(join(dataDir, 'arguments'), 'utf8')).trimEnd().split('\n')
    const ours = ['--spool', SPOOL, '--absent-exit', String(ABSENT_EXIT)]
    expect(given).toEqual(['--import', AWKWARD, 'fetch-wal', ...words, ...ours, 'FILE', 'pg_wal/X Y'])
  })

  test.each([
    [0, 0],
    [ABSENT_EXIT, 1],
    [1, 255],
    [2, 255],
    [125, 255],
    [137, 255],
    [255, 255],
  ])('turns the exit code %i into %i, so that only a clear answer ends recovery', async (given, expected) => {
    const command = restoreCommandLine([await program(given)], [])
    expect(asPostgres(command, 'FILE', 'pg_wal/X').status).toBe(expected)
  })

  test('stops recovery when Node is gone', () => {
    expect(asPostgres(restoreCommandLine(['/nowhere/node'], []), 'FILE', 'pg_wal/X').status).toBe(255)
  })

  test('holds no secret and no relative path', () => {
    const config = { bucket: 'b', endpoint: 'http://127.0.0.1:9', region: 'r', pathStyle: true, caFile: 'ca.pem' }
    const home = { server: 'db1', systemIdentifier: '7' }
    const words = fetchWalArguments(config, { home, choice: null, backup: { manifest: { wal_segment_bytes: 1024 } } })
    expect(words).toEqual(
      expect.arrayContaining(['--bucket', 'b', '--endpoint', 'http://127.0.0.1:9', '--path-style', '--ca-file']),
    )
    expect(words[words.indexOf('--ca-file') + 1]).toBe(join(process.cwd(), 'ca.pem'))
  })
})

test('the recovery_end_command removes the spool, and is content when there is none', async () => {
  await writeFile(join(dataDir, SPOOL, '000000010000000000000003'), 'wal')
  for (let times = 0; times < 2; times++) {
    expect(asPostgres(recoveryEndCommandLine(), '', '').status).toBe(0)
    expect(await readdir(join(dataDir, 'pg_wal'))).toEqual([])
  }
})

test('this Postbox starts again from another directory', () => {
  const words = ownInvocation(['--import', './.ts-node.js', '--require=../x.cjs', '--disable-warning=DEP0180'], '/a/b')
  expect(words.slice(1, -1)).toEqual([
    '--max-semi-space-size=1',
    '--import',
    'file:///a/b/.ts-node.js',
    '--require=file:///a/x.cjs',
    '--disable-warning=DEP0180',
  ])
  expect(words[0]).toBe(process.execPath)
  expect(words.at(-1)).toMatch(/^\/.*\/src\/cli\.ts$/)
})

describe('the recovery settings', () => {
  const settings: RecoverySettings = {
    restoreCommand: `say 'it' \\ with\na line`,
    recoveryEndCommand: 'true',
    target: { kind: 'lsn', lsn: 0x16b3748n },
    inclusive: false,
    timeline: 3,
    action: 'pause',
    restored: '20261122T100000Z-3fa9 at 2026-11-22T12:00:00.000Z',
  }

  test('keep other settings and replace earlier ones of recovery', () => {
    const previous = `# a comment\nwork_mem = '4MB'\nrecovery_target_time = 'x'\n Restore_Command='old'\nport=5433\npostbox.restored = 'earlier'\n`
    const text = recoveryConfiguration(previous, settings)
    expect(text.startsWith("# a comment\nwork_mem = '4MB'\nport=5433\n")).toBe(true)
    expect(text).not.toContain('old')
    expect(text).not.toContain('earlier')
    expect(text).toContain(`restore_command = 'say ''it'' \\\\ with\\na line'\n`)
  })

  test('name every kind of target, the wanted one last', () => {
    const lines = recoveryConfiguration('', settings)
      .split('\n')
      .filter((line) => /^recovery_target(_name|_time|_xid|_lsn)? /.test(line))
    expect(lines.length).toBe(5)
    expect(lines.slice(0, 4).every((line) => line.endsWith(" = ''"))).toBe(true)
    expect(lines[4]).toBe("recovery_target_lsn = '0/16B3748'")
  })

  test('are the same when written twice', () => {
    const once = recoveryConfiguration("port = '1'\n", settings)
    expect(recoveryConfiguration(once, settings)).toBe(once)
  })
})
