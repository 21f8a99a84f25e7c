import { readFile, stat } from 'node:fs/promises'
import { asPostboxError, PostboxError } from '../errors.js'
import type { Logger } from '../log.js'
import { formatDuration } from '../units.js'
import type { StatusSettings } from './fleet/status-settings.js'
import { parseKeyholderFile, parseRetentions, parseStatusSettings, type KnownServer } from './keyholder-file.js'
import type { Retention } from './prune/retention-schema.js'
import { longLifeSeconds } from './sign.js'

/** The servers of keyholder.yaml, as the file is now. */
export interface KnownServers {
  /** Reads the file again when it has changed. One that cannot be used changes nothing and is logged once. */
  current(): Promise<readonly KnownServer[]>
}

/** Reads keyholder.yaml for the first time. Throws `config_missing` or `config_invalid`. */
export async function openKnownServers(path: string, log: Logger): Promise<KnownServers> {
  let mark = await markOf(path)
  let servers = await read(path, log)

  // Asked at each request instead of watched: that also sees files replaced by rename and mounts changed underneath.
  const current = async (): Promise<readonly KnownServer[]> => {
    const found = await markOf(path)
    if (found === mark) return servers
    mark = found
    try {
      servers = await read(path, log)
      log.info({ file: path, servers: servers.map(({ server }) => server) }, 'servers read again')
    } catch (error) {
      log.error(
        { err: asPostboxError(error), file: path },
        'the changed file cannot be used; the servers stay as before',
      )
    }
    return servers
  }
  return { current }
}

/** The retention of one server. Throws `config_missing`, also when the file has none for it, or `config_invalid`. */
export async function readRetention(path: string, server: string): Promise<Retention> {
  const retention = parseRetentions(path, await readText(path)).get(server)
  if (retention) return retention
  const message = `${path} says nothing of the retention of server ${server}`
  const hint =
    'Write below the server, for example: retention: { backups: { for: 14d, weeks: 4 }, point_in_time: 14d }.'
  throw new PostboxError('config_missing', message, hint)
}

/** All servers, and what the file says of `postbox status`. Throws `config_missing` or `config_invalid`. */
export async function readStatusSettings(path: string): Promise<{ servers: string[]; settings: StatusSettings }> {
  return parseStatusSettings(path, await readText(path))
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new PostboxError(
      'config_missing',
      `${path} cannot be read`,
      'Write it, or name another with POSTBOX_KEYHOLDER_FILE; "postbox issuer --new-token NAME" shows an entry.',
      { cause },
    )
  }
}

async function read(path: string, log: Logger): Promise<KnownServer[]> {
  const text = await readText(path)
  const servers = parseKeyholderFile(path, text)
  for (const { server, grantLifeSeconds } of servers.filter((one) => one.grantLifeSeconds > longLifeSeconds)) {
    const life = formatDuration(grantLifeSeconds)
    log.warn({ server }, `grant_life ${life}: it is not proved that S3 takes a signature older than 24h`)
  }
  return servers
}

/** What changes when the file does; a file that is gone has a mark too. */
async function markOf(path: string): Promise<string> {
  return stat(path, { bigint: true }).then(
    ({ dev, ino, size, mtimeNs, ctimeNs }) => [dev, ino, size, mtimeNs, ctimeNs].join(' '),
    () => 'gone',
  )
}
