import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ABSENT_EXIT, restoreCommandLine, SPOOL } from '../../src/keyholder/restore-command.js'
import { WalAnswers, type WalAnswer } from '../../src/keyholder/wal-answers.js'
import { hasPerl } from '../sandbox/archiving.js'
import { gatherOutput, type Ended } from '../sandbox/postbox.js'

const NAME = '000000010000000000000003'
const TO = 'pg_wal/RECOVERYXLOG'
const LEFT_TO_NODE = [`fetch-wal --spool ${SPOOL} --absent-exit ${ABSENT_EXIT} ${NAME} ${TO}`]

let dataDir: string
/** has only what is put into it */
let bin: string
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pb-perl-'))
  bin = join(dataDir, 'bin')
  await mkdir(bin)
  await mkdir(join(dataDir, SPOOL), { recursive: true })
  for (const name of ['mv', 'perl']) await symlink(await whereIs(name), join(bin, name))
  await program('node', 'echo "$*" >>started; exit 3')
})

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  await rm(dataDir, { recursive: true })
})

async function whereIs(name: string): Promise<string> {
  for (const directory of ['/usr/bin', '/bin', '/usr/local/bin']) {
    const path = join(directory, name)
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path
  }
  return '/nowhere'
}

async function program(name: string, script: string): Promise<void> {
  await rm(join(bin, name), { force: true })
  await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

/** Runs the restore_command as Postgres does. */
async function restoreCommand(): Promise<Ended> {
  const line = restoreCommandLine([join(bin, 'node')], []).replace(/%([fp%])/g, (_, what: string) =>
    what === 'f' ? NAME : what === 'p' ? TO : '%',
  )
  const child = spawn('/bin/sh', ['-c', line], { cwd: dataDir, env: { PATH: bin }, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = gatherOutput(child)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output }
}

/** What Node was started with. */
const started = async (): Promise<string[]> =>
  (await readFile(join(dataDir, 'started'), 'utf8').catch(() => '')).split('\n').slice(0, -1)

async function answering(answer: (name: string) => Promise<WalAnswer>): Promise<void> {
  const answers = await WalAnswers.open(join(dataDir, SPOOL, 'ask'), answer)
  closing.push(() => answers!.close())
}

async function saying(text: string): Promise<void> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.resume().end(text)
  })
  server.listen(join(dataDir, SPOOL, 'ask'))
  await once(server, 'listening')
  closing.push(() => new Promise((resolve) => server.close(resolve)))
}

const inSpool = (name: string, content: string): Promise<void> => writeFile(join(dataDir, SPOOL, name), content)

describe.runIf(hasPerl)('fetch-wal.pl', () => {
  test('takes what the prefetcher brings, and says its warnings', async () => {
    await answering(async (name) => {
      await inSpool('asked.1', `WAL of ${name}`)
      return { take: 'asked.1', warnings: ['one thing', 'and\nanother'] }
    })
    const stderr = 'postbox: warning: one thing\npostbox: warning: and another\n'
    expect(await restoreCommand()).toEqual({ code: 0, stdout: '', stderr })
    expect(await readFile(join(dataDir, TO), 'utf8')).toBe(`WAL of ${NAME}`)
    expect(await started()).toEqual([])
  })

  test('ends with 1 when the archive does not have it', async () => {
    await answering(() => Promise.resolve({ take: null, warnings: [] }))
    expect(await restoreCommand()).toEqual({ code: 1, stdout: '', stderr: '' })
    expect(await started()).toEqual([])
  })

  test('leaves to Node what the prefetcher could not bring', async () => {
    await answering(() => Promise.reject(new Error('the archive is away')))
    expect((await restoreCommand()).code).toBe(255)
    expect(await started()).toEqual(LEFT_TO_NODE)
  })

  test.each([
    '',
    'waiting\n',
    'absent',
    'absen\n',
    'absent \n',
    'take asked.1\n',
    'take ../../outside\n',
    `take ${NAME}`,
  ])('leaves to Node a prefetcher that ends with %j', async (text) => {
    await writeFile(join(dataDir, 'outside'), 'no WAL')
    await saying(text)
    expect((await restoreCommand()).code).toBe(255)
    expect(await started()).toEqual(LEFT_TO_NODE)
    expect(await readdir(join(dataDir, 'pg_wal'))).toEqual(['postbox-spool'])
  })

  test('starts a prefetcher where a server runs and has none, and leaves to Node what that does not bring', async () => {
    await writeFile(join(dataDir, 'postmaster.pid'), `${process.pid}\n${dataDir}\n`)
    await rm(join(dataDir, SPOOL), { recursive: true })
    expect((await restoreCommand()).code).toBe(255)
    const words = `fetch-wal --spool ${SPOOL} --absent-exit ${ABSENT_EXIT}`
    expect(await started()).toEqual([`${words} --prefetch-after ${NAME}`, ...LEFT_TO_NODE])
  })

  test.each([
    ['no server runs', async () => {}],
    ['the server is dead', () => writeFile(join(dataDir, 'postmaster.pid'), '999999999\n')],
    [
      'a prefetcher lives that does not listen',
      async () => {
        await writeFile(join(dataDir, 'postmaster.pid'), `${process.pid}\n`)
        await inSpool('prefetcher', String(process.pid))
      },
    ],
  ])('starts none where %s', async (_, arrange) => {
    await arrange()
    expect((await restoreCommand()).code).toBe(255)
    expect(await started()).toEqual(LEFT_TO_NODE)
  })

  test('is written as strict Perl asks', () => {
    const script = join(import.meta.dirname, '../../src/fetch-wal.pl')
    const { status, stderr } = spawnSync('perl', ['-Mstrict', '-Mwarnings', '-wc', script])
    expect({ status, stderr: stderr.toString() }).toEqual({
      status: 0,
      stderr: expect.stringMatching(/^\S+ syntax OK\n$/),
    })
  })
})

describe('the restore_command', () => {
  test('does without Perl where there is none', async () => {
    await answering(() => Promise.resolve({ take: null, warnings: [] }))
    await rm(join(bin, 'perl'), { force: true })
    expect(await restoreCommand()).toEqual({ code: 255, stdout: '', stderr: '' })
    expect(await started()).toEqual(LEFT_TO_NODE)
  })

  test.each(['exit 0', 'exit 1', 'exit 2', 'exit 66', 'exit 82', 'exit 255', 'kill -KILL $$'])(
    'takes nothing that Perl says by "%s" but its own word',
    async (script) => {
      await program('perl', script)
      expect((await restoreCommand()).code).toBe(255)
      expect(await started()).toEqual(LEFT_TO_NODE)
    },
  )
})
