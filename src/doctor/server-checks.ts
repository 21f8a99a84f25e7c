import { statfs } from 'node:fs/promises'
import type { ExaminedServer, Facts, Slot } from '../catalog/examined-server.js'
import type { Secret } from '../secret.js'
import { ReplicationConnection } from '../source/replication-connection.js'
import { identifyServer } from '../source/server-identity.js'
import { fail, looking, ok, unknown, warn, type Check } from './check.js'

const NEWEST_MAJOR = 18

export function versionCheck({ version, version_num }: Facts): Check {
  const name = 'server_version'
  if (version_num < 150000) return fail(name, `Postgres ${version}`, 'Postbox needs Postgres 15 or later.')
  if (version_num < (NEWEST_MAJOR + 1) * 10000) return ok(name, `Postgres ${version}`)
  return warn(
    name,
    `Postgres ${version}`,
    `Postbox was tested up to Postgres ${NEWEST_MAJOR}: restore a backup before you trust it.`,
  )
}

/** Whether the role may do what the worker does. */
export function* roleChecks(facts: Facts, dumpsAlone: boolean): Generator<Check> {
  const { role_name: role, is_worker, is_superuser, may_replicate, may_read_all } = facts
  if (is_superuser) {
    const hint = 'Make a login of its own: postbox install --worker-role postbox.'
    yield warn('role', `${role} is a superuser, which is more than the worker needs`, hint)
  } else if (is_worker === true) yield ok('role', `${role} is a member of backup_worker`)
  else
    yield fail('role', `${role} is no member of backup_worker`, 'Run: GRANT backup_worker TO the role of the worker.')
  if (may_replicate) yield ok('replication_right', `${role} may replicate`)
  else if (dumpsAlone) yield ok('replication_right', `${role} has no REPLICATION, and needs none for dumps`)
  else {
    const hint =
      "Run: ALTER ROLE … REPLICATION. Where only dumps are wanted: select backup.configure('stream_wal', 'off')."
    yield fail('replication_right', `${role} has no REPLICATION`, hint)
  }
  if (may_read_all) yield ok('dump_right', `${role} may read all tables`)
  else {
    const hint =
      'Where dumps are wanted, run: GRANT pg_read_all_data TO the role of the worker, or grant SELECT on what is dumped.'
    yield warn('dump_right', `${role} is no member of pg_read_all_data`, hint)
  }
}

export function encryptionCheck({ encrypted }: Facts, address: string): Check {
  const name = 'database_encryption'
  if (encrypted === null) return ok(name, 'a socket of this machine')
  if (encrypted) return ok(name, 'TLS')
  if (/^(127\.|localhost:|\[?::1)/.test(address)) return ok(name, 'none, within this machine')
  return warn(
    name,
    `${address} is reached without TLS`,
    'Add ?sslmode=verify-full to the address, and set ssl = on in Postgres.',
  )
}

/** Connects for replication, as the worker does: pg_hba.conf has lines of its own for that. */
export function replicationCheck(url: Secret, systemIdentifier: string | null): Promise<Check> {
  return looking('replication', async () => {
    const connection = await ReplicationConnection.open(url, 'postbox doctor')
    try {
      const server = await identifyServer(connection)
      const seen = `system ${server.systemIdentifier}, timeline ${server.timeline}`
      if (systemIdentifier === null || systemIdentifier === server.systemIdentifier) return ok('replication', seen)
      const hint = 'POSTBOX_SOURCE_URL may name standbys of the server in POSTBOX_DATABASE_URL, and that server itself.'
      return fail('replication', `${seen}: another system than ${systemIdentifier}`, hint)
    } finally {
      connection.close()
    }
  })
}

/** WAL and base backup, each on a connection of its own. */
const WAL_SENDERS = 2

export function* settingChecks(facts: Facts, workerRuns: boolean): Generator<Check> {
  const { wal_level, max_wal_senders, wal_senders } = facts
  if (wal_level === 'minimal') {
    const hint = 'Set wal_level = replica in postgresql.conf and restart Postgres.'
    yield fail('wal_level', wal_level, hint)
  } else yield ok('wal_level', wal_level)

  const free = max_wal_senders - wal_senders
  const seen = `${wal_senders} of ${max_wal_senders} in use`
  const hint = 'Raise max_wal_senders, or end a replication connection that is not needed.'
  // Where it runs already, its connection for WAL is among those.
  const wanted = workerRuns ? WAL_SENDERS - 1 : WAL_SENDERS
  if (max_wal_senders === 0) yield fail('max_wal_senders', seen, hint)
  else if (free < wanted)
    yield warn('max_wal_senders', `${seen}; the worker needs ${wanted} more for a base backup`, hint)
  else yield ok('max_wal_senders', seen)
}

export function* slotChecks(facts: Facts, name: string, slot: Slot | null, workerRuns: boolean): Generator<Check> {
  const { max_replication_slots, slots } = facts
  const free = max_replication_slots - slots
  const seen = `${slots} of ${max_replication_slots} in use`
  const hint = 'Raise max_replication_slots, or drop a slot that is not needed.'
  if (slot === null && free < 1) yield fail('max_replication_slots', `${seen}; the worker needs one`, hint)
  else if (free < (slot === null ? 2 : 1))
    yield warn('max_replication_slots', `${seen}; now and then the worker needs a second`, hint)
  else yield ok('max_replication_slots', seen)
  yield slotCheck(name, slot, workerRuns)
  yield keepCheck(facts)
}

function slotCheck(name: string, slot: Slot | null, workerRuns: boolean): Check {
  if (slot === null) {
    if (!workerRuns) return ok('slot', `${name} is not there: the worker makes it at its first start`)
    return warn('slot', `${name} is not there, and a worker runs`, 'See backup.checks and the log of the worker.')
  }
  const kept = slot.kept_bytes === null ? 'no WAL' : `${Math.round(slot.kept_bytes / 1024 ** 2)} MiB of WAL`
  if (slot.wal_status === 'lost') {
    return fail(
      'slot',
      `${name} has lost WAL`,
      'Start the worker: it makes the slot anew, shows the gap and takes a base backup.',
    )
  }
  if (slot.wal_status === 'unreserved') {
    return fail('slot', `${name} is about to lose WAL`, 'Start the worker now, or raise max_slot_wal_keep_size.')
  }
  if (!slot.active) {
    const hint = 'Start "postbox worker": until then WAL piles up on the disk of the database.'
    return warn('slot', `${name} keeps ${kept} and nobody reads from it`, hint)
  }
  return ok('slot', `${name} is read from and keeps ${kept}`)
}

function keepCheck({ max_slot_wal_keep_size: limit }: Facts): Check {
  const name = 'max_slot_wal_keep_size'
  if (limit === '-1') return ok(name, 'no limit: WAL waits for the box as long as the disk has room')
  const hint = 'With -1 nothing is lost while the box is away, as long as the disk has room.'
  return warn(name, `${limit}: WAL beyond that is lost while the box is away`, hint)
}

/** Room on the disk of the data directory, where this role and this user may see it. */
export async function diskCheck({ data_directory: directory }: Facts): Promise<Check> {
  const hint =
    'The slot keeps WAL in pg_wal while the box is away: look at the room there. (pg_read_all_settings shows where it is.)'
  if (directory === null) return unknown('disk', 'this role may not see the data directory', hint)
  try {
    const { bavail, blocks, bsize } = await statfs(directory)
    const [freeGiB, part] = [(bavail * bsize) / 1024 ** 3, bavail / Math.max(1, blocks)]
    const seen = `${freeGiB.toFixed(1)} GiB free (${Math.floor(part * 100)} %) at ${directory}`
    return part < 0.1 || freeGiB < 1 ? warn('disk', seen, hint) : ok('disk', seen)
  } catch {
    return unknown('disk', `${directory} cannot be seen from here`, hint)
  }
}

export async function schemaCheck(server: ExaminedServer): Promise<Check> {
  return looking('schema', async () => {
    const differences = await server.schemaDifferences()
    if (differences.length === 0) return ok('schema', 'as this version of Postbox installs it')
    const more = differences.length > 3 ? ` and ${differences.length - 3} more` : ''
    const hint = 'Run "postbox install" with this version, or ALTER EXTENSION postbox UPDATE.'
    return fail('schema', `of another version: ${differences.slice(0, 3).join(', ')}${more}`, hint)
  })
}
