import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ArchivingServer, nodePath } from '../sandbox/archiving.js'
import { BackedUpServer } from '../sandbox/backed-up-server.js'
import { gatherOutput } from '../sandbox/postbox.js'
import { sandboxOwned, sandboxUser, scratchDir } from '../sandbox/postgres.js'
import { program } from '../sandbox/program.js'
import { plainEnv, run } from '../sandbox/run.js'
import type { BenchOptions } from './main.js'
import { archivePushCommand, pgBackRestVersion, setUpPgBackRest } from './pgbackrest.js'
import type { BenchResult } from './report.js'

const SEGMENTS = 8
const CALLS = 200
const CALLS_OF_NODE = 50

/** One way to answer archive_command, and what a call of it takes. */
interface Measured {
  call: string
  wallMs: number
  /** of the command and all that it starts */
  cpuMs: number
  workerCpuMs: number | null
}

interface Line {
  call: string
  line: string
  calls: number
  worker: boolean
}

const FLOOR = 'sh -c /bin/true'
const OURS = 'postbox archive-wal'
const NODE = 'the same without Perl'
const PEER = 'pgbackrest archive-push, async'
const SYNCHRONOUS_PEER = 'pgbackrest archive-push'

/** What a call of archive_command costs for a segment that is stored already. */
export async function benchArchive({ runs }: BenchOptions): Promise<BenchResult> {
  const peer = await pgBackRestVersion()
  const backedUp = await BackedUpServer.start({
    version: 15,
    workerAsSandboxUser: true,
    workerEnv: { POSTBOX_LOG_LEVEL: 'info' },
    settings: { archive_mode: 'on', archive_command: 'false', wal_keep_size: '1GB' },
  })
  try {
    await backedUp.worker.says('streaming WAL')
    const directory = peer === null ? null : await setUpPeer(backedUp)
    const name = await writeSegments(backedUp, directory)
    const lines = await linesFor(backedUp, name, directory)
    const measured: Measured[][] = []
    for (let count = 0; count < runs; count++) {
      const round: Measured[] = []
      for (const line of lines) round.push(await measure(line, backedUp))
      measured.push(round)
    }
    if (directory) await access(okFile(directory, name))
    return report(measured, peer)
  } finally {
    await backedUp.remove()
  }
}

async function setUpPeer({ postgres }: BackedUpServer): Promise<string> {
  const directory = await sandboxOwned(join(await scratchDir('pgbackrest'), 'home'))
  await chmod(directory, 0o777)
  await setUpPgBackRest(postgres, { path: join(directory, 'repository'), level: 3 }, directory)
  await run('chmod', ['-R', 'a+rwX', directory])
  return directory
}

/** By this file pgBackRest knows that its background process has stored the segment. */
const okFile = (directory: string, name: string) => join(directory, 'spool/archive/main/out', `${name}.ok`)

/** Some segments that are stored by all who are measured. Returns the last one's name. */
async function writeSegments(backedUp: BackedUpServer, directory: string | null): Promise<string> {
  const archiving = new ArchivingServer(backedUp)
  let name = ''
  for (let n = 0; n < SEGMENTS; n++) name = await archiving.writeSegment()
  await backedUp.storeAllWal()
  const set = async (command: string) => {
    await backedUp.postgres.query(`alter system set archive_command = '${command}'`)
    await backedUp.postgres.query('select pg_reload_conf()')
  }
  if (directory) {
    await set(archivePushCommand(directory))
    await archiving.archived(name)
    await access(okFile(directory, name))
  }
  await set('false')
  return name
}

async function linesFor(backedUp: BackedUpServer, name: string, directory: string | null): Promise<Line[]> {
  const { command, node } = await program()
  const path = `pg_wal/${name}`
  const socket = `POSTBOX_SOCKET='${backedUp.databaseEnv().POSTBOX_SOCKET!}'`
  const onlyNode = join(node, '..')
  const lines = [
    { call: FLOOR, line: '/bin/true', calls: CALLS, worker: false },
    { call: OURS, line: `${socket} ${command} archive-wal ${path}`, calls: CALLS, worker: true },
    {
      call: NODE,
      line: `PATH='${onlyNode}' ${socket} ${command} archive-wal ${path}`,
      calls: CALLS_OF_NODE,
      worker: true,
    },
  ]
  if (!directory) return lines
  const push = (async: boolean) => ({ line: archivePushCommand(directory, path, async), calls: CALLS, worker: false })
  return [...lines, { call: PEER, ...push(true) }, { call: SYNCHRONOUS_PEER, ...push(false) }]
}

/** Calls it as Postgres does: by a shell of its own, in the data directory, one after the other. */
async function measure({ call, line, calls, worker }: Line, backedUp: BackedUpServer): Promise<Measured> {
  const loop = `i=0; while [ $i -lt ${calls} ]; do sh -c "$1" || exit 1; i=$((i+1)); done; times`
  const workerBefore = await cpuMs(backedUp.worker.pid)
  const began = performance.now()
  const child = spawn('sh', ['-c', loop, 'sh', line], {
    cwd: backedUp.postgres.dataDir,
    env: { ...plainEnv, PATH: await nodePath() },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...sandboxUser(),
  })
  const output = gatherOutput(child)
  const [code] = (await once(child, 'close')) as [number | null]
  const wallMs = (performance.now() - began) / calls
  if (code !== 0) throw new Error(`${line} ended with ${String(code)}:\n${output.stderr}${output.stdout}`)
  const workerCpuMs = worker ? ((await cpuMs(backedUp.worker.pid)) - workerBefore) / calls : null
  return { call, wallMs, cpuMs: childrenMs(output.stdout) / calls, workerCpuMs }
}

/** The second line of the shell's `times`: user and system time of all its children. */
function childrenMs(times: string): number {
  const [, children = ''] = times.trim().split('\n')
  const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
  if (parts.length !== 2) throw new Error(`these are no times: ${times}`)
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000, 0)
}

/** User and system time of a process so far, which the kernel counts in ticks of 10 ms. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function report(measured: readonly Measured[][], peer: string | null): BenchResult {
  const median = (call: string): Measured | undefined =>
    measured
      .flatMap((round) => round.filter((one) => one.call === call))
      .toSorted((a, b) => a.wallMs - b.wallMs)
      .at(Math.floor(measured.length / 2))
  const times = (call: string, of: (one: Measured) => number) => {
    const [one, ours] = [median(call), median(OURS)]
    return one && ours ? Number((of(one) / of(ours)).toFixed(2)) : null
  }
  return {
    title: 'a call of archive_command for a 16 MiB segment that is stored already',
    notes: [
      `Each command called ${CALLS} times (Node's ${CALLS_OF_NODE}) in a row by "sh -c", as Postgres does, as its user and in its data directory; Postgres 15. The first line is what remains of a command that does nothing.`,
      "Postbox: the worker, which streams the same WAL, reads and hashes the whole segment at each call and compares it with the catalog. Its CPU time stands beside the command's and is not in it.",
      `${peer ?? 'pgBackRest was not installed'}, repository in a local folder. Async: its background process has stored the segment, which it does ahead where there is a backlog, and left a file that says so; a call looks at that file and compares no bytes. Without async a call does what Postbox's does: it hashes the segment and compares it with what is stored.`,
      "Left out: the storing itself (see wal), the wait for it where the segment is not stored yet, and what pgBackRest's background process takes. The file is in the page cache. The ratio is of wall time, with async.",
    ],
    goals: [],
    columns: ['run', 'call', 'wall ms', 'CPU ms', 'CPU ms of the worker'],
    rows: measured.flatMap((round, index) =>
      round.map((one) => [
        String(index + 1),
        one.call,
        one.wallMs.toFixed(1),
        one.cpuMs.toFixed(1),
        one.workerCpuMs?.toFixed(1) ?? '–',
      ]),
    ),
    summary: {
      ratio: times(PEER, ({ wallMs }) => wallMs),
      synchronous_ratio: times(SYNCHRONOUS_PEER, ({ wallMs }) => wallMs),
      node_ratio: times(NODE, ({ wallMs }) => wallMs),
      runs: measured,
    },
  }
}
