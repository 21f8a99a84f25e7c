import { startFromDataDir, type SandboxPostgres } from '../sandbox/postgres.js'
import { until } from '../sandbox/until.js'

/** How one recovery went. Times begin with the start of the server. */
export interface Recovery {
  /** different segments that the archive gave */
  segments: number
  /** until the last record was replayed, which needs the answer that there is no more */
  replayedSeconds: number
  /** until it took its first write */
  promotedSeconds: number
}

const PATIENCE_MS = 300_000

/** Recovers a restored directory to its end and removes it. Times are those of the server's own log. */
export async function recover(dataDir: string, env: Record<string, string>): Promise<Recovery> {
  const settings = {
    // What the copied server archives is not to be archived twice.
    archive_mode: 'off',
    fsync: 'on',
    shared_buffers: '256MB',
    max_wal_size: '8GB',
    log_line_prefix: '%n ',
  }
  const server = await startFromDataDir({ version: 17, dataDir, env, settings })
  try {
    await until('recovery has ended', () => hasEnded(server), PATIENCE_MS)
    return read(await server.log())
  } finally {
    await server.remove()
  }
}

async function hasEnded(server: SandboxPostgres): Promise<boolean> {
  return (await server.log()).includes('archive recovery complete')
}

function read(log: string): Recovery {
  const at = (text: string) => {
    const line = log.split('\n').find((each) => each.includes(text))
    if (line === undefined) throw new Error(`no "${text}" in the log:\n${log}`)
    return Number(line.split(' ')[0])
  }
  const began = at('starting PostgreSQL')
  return {
    segments: new Set(log.match(/(?<=restored log file ")[0-9A-F]{24}(?=" from archive)/g)).size,
    replayedSeconds: at('redo done at') - began,
    promotedSeconds: at('archive recovery complete') - began,
  }
}
