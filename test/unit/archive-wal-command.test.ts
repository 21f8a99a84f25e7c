import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, copyFile, mkdir, mkdtemp, readFile, rm, rmdir, stat, symlink, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { describeFailure } from '../../src/commands/failure.js'
import { PostboxError } from '../../src/errors.js'
import { ArchiveChannel } from '../../src/worker/archive-channel.js'
import { listenPrivately, usualSocket, type PrivateSocket } from '../../src/worker/private-socket.js'
import { hasPerl } from '../sandbox/archiving.js'
import { gatherOutput, type Ended } from '../sandbox/postbox.js'

const root = join(import.meta.dirname, '../..')
const NAME = '000000010000000000000001'
const SYSTEM = 17_412_345_678_901_234_567n

let directory: string
let data: string
/** has only what is put into it */
let bin: string
let command: string
let socket: string
let listening: PrivateSocket[]

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pb-command-'))
  const places = ['data', 'bin', 'a place/dist'].map((name) => join(directory, name))
  for (const place of [...places, join(places[0]!, 'pg_wal'), join(places[0]!, 'global')]) {
    await mkdir(place, { recursive: true })
  }
  ;[data, bin] = places as [string, string]
  await writeFile(join(data, 'pg_wal', NAME), 'WAL')
  const control = Buffer.alloc(100)
  control.writeBigUInt64LE(SYSTEM)
  await writeFile(join(data, 'global/pg_control'), control)
  await program('node', 'printf "%s\\n" "$@"; exit 7')
  command = join(places[2]!, 'postbox')
  await copyFile(join(root, 'dist/postbox'), command)
  socket = join(directory, 'own/worker.sock')
  listening = []
})

afterEach(async () => {
  for (const each of listening) await each.close()
  await rm(directory, { recursive: true })
})

async function program(name: string, script: string): Promise<void> {
  await writeFile(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
}

async function listen(answer: (channel: ArchiveChannel, socket: Socket, offer: unknown) => void): Promise<void> {
  const take = async (connection: Socket) => {
    const channel = new ArchiveChannel(connection, 10_000)
    answer(channel, connection, await channel.readLine())
  }
  listening.push(await listenPrivately(socket, (connection) => void take(connection)))
}

interface Call {
  env?: Record<string, string>
  /** after our own */
  path?: string
  command?: string
}

/** Runs the command in the data directory, with a Node that says what it was called with and ends with 7. */
async function call(args: string[], { env, path = '/usr/bin:/bin', command: called = command }: Call = {}) {
  const child = spawn(called, args, {
    cwd: data,
    env: { PATH: `${bin}:${path}`, POSTBOX_SOCKET: socket, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = gatherOutput(child)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output } satisfies Ended
}

const archive = (given = `pg_wal/${NAME}`, how: Call = {}) => call(['archive-wal', given], how)
const says = (line: string) => (_: ArchiveChannel, connection: Socket) => void connection.end(line)
const stored = says('{"state":"stored"}\n')
const done = { code: 0, stdout: '', stderr: '' }

function leftToNode(...args: string[]) {
  return { code: 7, stdout: [join(dirname(command), 'cli.js'), ...args, ''].join('\n'), stderr: '' }
}
const segmentLeftToNode = () => leftToNode('archive-wal', `pg_wal/${NAME}`)

describe.skipIf(!hasPerl)('postbox archive-wal beside a worker', () => {
  test.each(['stored', 'known'] as const)('names the file, waits, and ends with 0 when it is %s', async (state) => {
    let offered: unknown
    await listen((channel, connection, offer) => {
      offered = offer
      for (let n = 0; n < 3; n++) channel.send({ state: 'waiting' })
      channel.send({ state })
      connection.end()
    })
    expect(await archive()).toEqual(done)
    const path = join(data, 'pg_wal', NAME)
    const { dev, ino } = await stat(path, { bigint: true })
    expect(offered).toEqual({ path, device: dev.toString(), inode: ino.toString() })
  })

  test('names a file with any characters in its path, and a history', async () => {
    const odd = join(directory, 'a "b"\\ü\n', 'pg_wal')
    await mkdir(odd, { recursive: true })
    const path = join(odd, '00000002.history')
    await writeFile(path, '1\t0/1500000\tbefore\n')
    let offered: unknown
    await listen((channel, connection, offer) => {
      offered = offer
      stored(channel, connection)
    })
    expect(await archive(path)).toEqual(done)
    expect(offered).toMatchObject({ path })
  })

  test('finds the worker by pg_control', async () => {
    socket = usualSocket(SYSTEM.toString())
    const before = await stat(dirname(socket)).catch(() => null)
    try {
      await listen(stored)
      expect(await archive(undefined, { env: { POSTBOX_SOCKET: ' ' } })).toEqual(done)
      expect(await archive(join(data, 'pg_wal', NAME), { env: { POSTBOX_SOCKET: '' } })).toEqual(done)
    } finally {
      await listening.pop()!.close()
      if (!before) await rmdir(dirname(socket))
    }
  })

  test('fails with what the worker says, in the words of the whole program', async () => {
    const failure = ['WAL “1”\n  "was" stored\t\\ \u0001\ud800,"hint":"x"', 'Stop {"state":"stored"}\n one.'] as const
    await listen((channel, connection) => {
      channel.send({ state: 'failed', code: 'wal_conflict', message: failure[0], hint: failure[1] })
      connection.end()
    })
    const stderr = describeFailure(new PostboxError('wal_conflict', ...failure), false).replace('\ud800', '\ufffd')
    expect(await archive()).toEqual({ code: 1, stdout: '', stderr })
  })

  test.each<[string, (channel: ArchiveChannel, connection: Socket) => void]>([
    ['cannot read the file', says('{"state":"unreadable"}\n')],
    ['wants its bytes', says('{"state":"send"}\n')],
    ['does not understand', says('{"state":"failed","code":"bad_argument","message":"no offer","hint":"?"}\n')],
    ['says something else', says('"stored"\n')],
    ['says no whole line', says('{"state":"stored"}')],
    ['ends the connection', (_, connection) => void connection.destroy()],
  ])('leaves the file to Node when the worker %s', async (_, answer) => {
    await listen(answer)
    expect(await archive()).toEqual(segmentLeftToNode())
  })

  test('leaves the file to Node when the worker says nothing for long', async () => {
    const shipped = await readFile(command, 'utf8')
    const impatient = shipped.replace('$SILENCE_S = 30;', '$SILENCE_S = 0.1;')
    expect(impatient).not.toBe(shipped)
    await writeFile(command, impatient)
    await listen(() => undefined)
    expect(await archive()).toEqual(segmentLeftToNode())
  })

  test('asks nobody where others could have put a socket', async () => {
    await listen(stored)
    expect(await archive()).toEqual(done)
    const rights = [
      [dirname(socket), 0o770, 0o700],
      [dirname(socket), 0o707, 0o700],
      [socket, 0o620, 0o600],
      [socket, 0o602, 0o600],
    ] as const
    for (const [path, open, closed] of rights) {
      await chmod(path, open)
      expect(await archive()).toEqual(segmentLeftToNode())
      await chmod(path, closed)
    }
    await symlink(dirname(socket), join(directory, 'link'))
    expect(await archive(undefined, { env: { POSTBOX_SOCKET: join(directory, 'link/worker.sock') } })).toEqual(
      segmentLeftToNode(),
    )
    expect(await archive()).toEqual(done)
  })

  test.skipIf(process.getuid!() !== 0)('asks nobody whose socket belongs to another user', async () => {
    await listen(stored)
    for (const path of [socket, dirname(socket)]) {
      await chown(path, 1, 1)
      expect(await archive()).toEqual(segmentLeftToNode())
      await chown(path, 0, 0)
    }
    expect(await archive()).toEqual(done)
  })

  test.each([
    `${NAME}.partial`,
    `${NAME}.00000028.backup`,
    'postgresql.conf',
    `pg_wal/${NAME.replace('1', 'a')}`,
    `pg_wal/${NAME}\n`,
    `./pg_wal/${NAME}`,
    `pg_wal/../pg_wal/${NAME}`,
    `pg_wal/${NAME.replace('1', '2')}`,
    '--help',
    '',
  ])('leaves %j to Node', async (given) => {
    await listen(stored)
    if (/^[^/-]+$/.test(given)) await writeFile(join(data, given), '')
    expect(await archive(given)).toEqual(leftToNode('archive-wal', given))
  })

  test('takes nothing that Perl says but its own word', async () => {
    await listen(stored)
    for (const code of [0, 1, 2, 82, 255]) {
      await program('perl', `exit ${code}`)
      expect(await archive()).toEqual(segmentLeftToNode())
    }
    await program('perl', 'kill -KILL $$')
    expect(await archive()).toMatchObject({ code: 7 })
  })

  test('is written as strict Perl asks', () => {
    const { status, stderr } = spawnSync('perl', ['-Mstrict', '-Mwarnings', '-wc', join(root, 'src/archive-wal.pl')])
    expect({ status, stderr: stderr.toString() }).toEqual({
      status: 0,
      stderr: expect.stringMatching(/^\S+ syntax OK\n$/),
    })
  })
})

describe('the command postbox', () => {
  test('leaves archive-wal to Node where there is no worker, and where there is no Perl', async () => {
    expect(await archive()).toEqual(segmentLeftToNode())
    await listen(stored)
    expect(await archive(undefined, { path: '/nonexistent' })).toEqual(segmentLeftToNode())
  })

  test('gives everything else to Node as it was given', async () => {
    const lines = [[], ['list', '--server', 'a  b', '', '*'], ['archive-wal'], ['archive-wal', '--help', 'x']]
    for (const line of lines) expect(await call(line)).toEqual(leftToNode(...line))
  })

  test('finds its program through the links by which it is called', async () => {
    await mkdir(join(directory, 'lib/node_modules/.bin'), { recursive: true })
    const links = [
      [join(directory, 'lib/node_modules/pg-postbox'), '../../a place'],
      [join(directory, 'lib/node_modules/.bin/postbox'), '../pg-postbox/dist/postbox'],
      [join(bin, 'postbox'), join(directory, 'lib/node_modules/.bin/postbox')],
    ] as const
    for (const [path, to] of links) await symlink(to, path)
    const cli = `${directory}/lib/node_modules/.bin/../pg-postbox/dist/cli.js`
    for (const called of [links[1][0], links[2][0]]) {
      expect(await call(['--version'], { command: called })).toEqual({
        code: 7,
        stdout: `${cli}\n--version\n`,
        stderr: '',
      })
    }
    const { status, stdout } = spawnSync('postbox', ['--version'], { env: { PATH: `${bin}:/usr/bin:/bin` }, cwd: '/' })
    expect({ status, stdout: stdout.toString() }).toEqual({ status: 7, stdout: `${cli}\n--version\n` })
    if (!hasPerl) return
    await listen(stored)
    expect(await archive(undefined, { command: links[2][0] })).toEqual(done)
  })
})
