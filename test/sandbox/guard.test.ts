import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { expect, it } from 'vitest'
import { exists } from './binaries.js'
import { running } from './processes.js'
import { until } from './until.js'

const SCRIPT = `
import { startPostgres } from './test/sandbox/postgres.js'
const postgres = await startPostgres()
console.log(JSON.stringify({ pid: postgres.pid, socketDir: postgres.socketDir }))
if (process.argv.includes('wait')) setInterval(() => undefined, 1000)
`

it.each(['is killed', 'comes to its end'])(
  'ends its servers and removes their directories when the process %s',
  async (how) => {
    const root = resolve(import.meta.dirname, '../..')
    const args = ['--disable-warning=DEP0180', '--import', './.ts-node.js', '--input-type=module', '-e', SCRIPT]
    if (how === 'is killed') args.push('wait')
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'exit')
    let output = ''
    child.stdout.on('data', (text: Buffer) => (output += text.toString()))
    const server = await until('the server is up', () => JSON.parse(output) as { pid: number; socketDir: string })
    if (how === 'is killed') child.kill('SIGKILL')
    else expect(await ended).toEqual([0, null])
    await until('its process has ended', async () => !(await running(server.pid)))
    await until('its directory is gone', async () => !(await exists(server.socketDir)))
  },
)
