import type { Grant } from '../box/grant.js'
import { examineServer, type ExaminedServer, type Facts, type Installed } from '../catalog/examined-server.js'
import { findPrimary } from '../catalog/find-primary.js'
import type { WorkerConfig } from '../config.js'
import { asPostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { findPgDump } from '../source/pg-dump.js'
import {
  boxClockCheck,
  boxEncryptionCheck,
  clockCheck,
  grantCheck,
  issuerCheck,
  postCheck,
  type BoxAccess,
} from './box-checks.js'
import { failed, looking, ok, unknown, type Check } from './check.js'
import {
  diskCheck,
  encryptionCheck,
  replicationCheck,
  roleChecks,
  schemaCheck,
  settingChecks,
  slotChecks,
  versionCheck,
} from './server-checks.js'

/** What of the database is needed later. */
interface Known {
  facts: Facts | null
  installed: Installed | null
  /** unchecked */
  grant: unknown
}

/** Looks at everything that the worker needs, one check after the other. Changes nothing in the database. */
export async function* examine(config: WorkerConfig, access: BoxAccess): AsyncGenerator<Check> {
  const known: Known = { facts: null, installed: null, grant: undefined }
  yield* ended('database', databaseChecks(config, known))
  const sources = known.installed?.stream_wal === 'off' ? [] : config.sourceUrls
  for (const url of sources) yield* ended('source', sourceChecks(url, known))
  yield* boxChecks(config, known, access)
}

/** What ends a group early is its last check. */
async function* ended(name: string, checks: AsyncGenerator<Check>): AsyncGenerator<Check> {
  try {
    yield* checks
  } catch (thrown) {
    yield failed(name, asPostboxError(thrown))
  }
}

async function* databaseChecks({ databaseUrls, sourceUrls }: WorkerConfig, known: Known): AsyncGenerator<Check> {
  const warnings: string[] = []
  const url = await findPrimary(databaseUrls, (text) => warnings.push(text))
  await using server = await examineServer(url)
  const asked = performance.now()
  const facts = (known.facts = await server.facts())
  const aheadMs = facts.clock_ms - (Date.now() - (performance.now() - asked) / 2)
  yield ok('database', `${facts.database} at ${server.address}, as ${facts.role_name}`)
  for (const text of warnings)
    yield { name: 'primaries', state: 'warn', seen: text, hint: 'Stop the server that was left behind.' }
  yield versionCheck(facts)
  yield encryptionCheck(facts, server.address)
  yield clockCheck('database_clock', "the database's", aheadMs)
  yield await schemaCheck(server)
  const installed = await installedCheck(server, known)
  const dumpsAlone = known.installed?.stream_wal === 'off'
  yield* roleChecks(facts, dumpsAlone)
  yield installed
  if (dumpsAlone) yield ok('replication', 'not needed: the setting stream_wal is off')
  else if (sourceUrls.length === 0) yield* readingChecks(server, url, facts, known)
  yield await looking(
    'pg_dump',
    async () => {
      const { program, version } = await findPgDump(Math.floor(facts.version_num / 10000))
      return ok('pg_dump', `${program}: ${version}`)
    },
    'warn',
  )
}

function installedCheck(server: ExaminedServer, known: Known): Promise<Check> {
  return looking('worker', async () => {
    const installed = (known.installed = await server.installed())
    known.grant = await server.grant()
    return ok('worker', installed.worker_runs ? 'a worker runs' : 'no worker runs now')
  })
}

/** What is asked of the server that WAL and base backups are read from. */
async function* readingChecks(server: ExaminedServer, url: Secret, facts: Facts, known: Known): AsyncGenerator<Check> {
  const runs = known.installed?.worker_runs ?? false
  yield await replicationCheck(url, known.facts?.system_identifier ?? null)
  yield* settingChecks(facts, runs)
  const slot = known.installed?.slot ?? 'postbox'
  yield* slotChecks(facts, slot, await server.slot(slot), runs)
  yield await diskCheck(facts)
}

/** The same of a standby; each check names the server. */
async function* sourceChecks(url: Secret, known: Known): AsyncGenerator<Check> {
  await using server = await examineServer(url)
  const facts = await server.facts()
  yield ok('source', `${server.address}, ${facts.in_recovery ? 'a standby' : 'a primary'}, as ${facts.role_name}`)
  for await (const check of readingChecks(server, url, facts, known)) {
    yield { ...check, seen: `${server.address}: ${check.seen}` }
  }
}

async function* boxChecks({ issuer }: WorkerConfig, known: Known, access: BoxAccess): AsyncGenerator<Check> {
  const server = known.installed?.server ?? null
  let grant: Grant | null = null
  if (known.grant !== undefined) {
    const [check, kept] = grantCheck(known.grant, server, known.installed?.grant_warn_seconds ?? 0, issuer !== null)
    yield check
    grant = kept
  }
  if (issuer) {
    const [check, given] = await issuerCheck(issuer, server, access)
    yield check
    grant = given ?? grant
  }
  if (grant === null) {
    yield unknown('post', 'nothing can be posted without a grant', null)
    return
  }
  yield await postCheck(grant, access)
  yield boxEncryptionCheck(grant)
  yield await boxClockCheck(grant, access)
}
