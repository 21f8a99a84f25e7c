import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { benchArchive } from './archive.js'
import { benchBase } from './base.js'
import { benchContention } from './contention.js'
import { benchDump } from './dump.js'
import { benchReplay } from './replay.js'
import { benchSync } from './sync.js'
import { benchWal } from './wal.js'
import { isReached, writeReport, type BenchResult } from './report.js'

export interface BenchOptions {
  runs: number
  gigabytes: number
}

const benches: Record<string, (options: BenchOptions) => Promise<BenchResult>> = {
  archive: benchArchive,
  base: benchBase,
  wal: benchWal,
  sync: benchSync,
  contention: benchContention,
  dump: benchDump,
  replay: benchReplay,
}

/** `npm run bench -- NAME [--runs N] [--gigabytes N] [--json]`: prints ratios against the peer of the same run. */
async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '3' },
      gigabytes: { type: 'string', default: '2.1' },
      json: { type: 'boolean', default: false },
    },
  })
  const name = positionals[0] ?? ''
  const bench = benches[name]
  if (!bench) {
    process.stderr.write(
      `usage: npm run bench -- ${Object.keys(benches).join('|')} [--runs 3] [--gigabytes 2.1] [--json]\n`,
    )
    process.exitCode = 2
    return
  }
  const result = await bench({ runs: Number(values.runs), gigabytes: Number(values.gigabytes) })
  const machine = `${cpus().length} cores (${cpus()[0]!.model.trim()}), ${Math.round(totalmem() / 1024 ** 3)} GiB`
  await writeReport(name, result, { machine, command: `npm run bench -- ${process.argv.slice(2).join(' ')}` })
  const goals = result.goals.map((goal) => ({ ...goal, reached: isReached(goal) }))
  if (values.json) process.stdout.write(JSON.stringify({ bench: name, ...result.summary, goals }) + '\n')
}

await main()
