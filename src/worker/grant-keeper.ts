import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { z } from 'zod'
import { DrillResult } from '../box/drill-result.js'
import { KeptArchive } from '../box/kept-archive.js'
import type { Grant } from '../box/grant.js'
import { checkGrant } from '../box/grant-check.js'
import { requestGrant } from '../box/issuer-client.js'
import type { Catalog } from '../catalog/catalog.js'
import { asPostboxError, PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { Backoff } from './backoff.js'

const News = z.object({
  /** from an issuer that does not know `drills` */
  drill: DrillResult.nullish().catch(null),
  drills: z.array(DrillResult).nullish().catch(null),
  kept: z.array(KeptArchive).nullish().catch(null),
})

/** An issuer may be away for as long as a grant lasts; asking every hour keeps most of that in hand. */
const REFRESH_EVERY_MS = 3_600_000

export interface GrantKeeperOptions {
  catalog: Catalog
  /** null: grants are installed by hand */
  issuer: { url: string; token: Secret } | null
  ca: string | undefined
  log: Logger
  /** another grant is in use now */
  onChange: () => void
}

/** Keeps the grant in use: from the issuer every hour, or what backup.install_grant() kept. */
export class GrantKeeper {
  #grant: Grant | null = null
  /** the issuer has answered begin() */
  #hasAnswer = false
  /** by system identifier: when what is stored was listed, as far as the catalog has heard of it */
  readonly #heard = new Map<string, string>()

  constructor(readonly options: GrantKeeperOptions) {}

  /** The newest grant. Throws `grant_missing`. It may have ended: the box decides that. */
  current(): Grant {
    if (this.#grant) return this.#grant
    throw new PostboxError(
      'grant_missing',
      'no grant is installed',
      'Run "postbox grant --server <name>" where the S3 keys are, then select backup.install_grant(...).',
    )
  }

  /** When the grant in use ends; null: there is none. */
  get expiresAt(): Date | null {
    return this.#grant && new Date(this.#grant.expires_at)
  }

  /** As load(), and asks the issuer once where there is no grant: nothing could be stored. Why it failed, run() says. */
  async begin(signal: AbortSignal): Promise<void> {
    await this.load()
    if (this.#grant || !this.options.issuer) return
    this.#hasAnswer = await this.#askIssuer(signal).then(
      () => true,
      () => false,
    )
  }

  /** Reads the newest grant of the catalog; keeps the one in use when that is as new. */
  async load(): Promise<void> {
    const kept = await this.options.catalog.currentGrant()
    if (kept && (!this.#grant || kept.expires_at > this.#grant.expires_at)) this.#use(kept)
  }

  /** Looks for a newer grant than the one in use, at the issuer or in the catalog. Resolves to whether there is one. */
  async refresh(signal: AbortSignal): Promise<boolean> {
    const before = this.#grant
    if (this.options.issuer) await this.#askIssuer(signal)
    else await this.load()
    return this.#grant !== before
  }

  /** Refreshes until `signal` is aborted. The current grant is used to its end while the issuer is away. */
  async run(signal: AbortSignal): Promise<void> {
    const { catalog, log, issuer } = this.options
    if (!issuer) return
    const backoff = new Backoff(1000, 60_000)
    while (!signal.aborted) {
      try {
        if (!this.#hasAnswer) await this.#askIssuer(signal)
        this.#hasAnswer = false
        await catalog.reportProblem('issuer', null)
        backoff.reset()
        await delay(REFRESH_EVERY_MS, undefined, { signal }).catch(() => undefined)
      } catch (thrown) {
        if (signal.aborted) return
        const error = asPostboxError(thrown)
        log.warn({ code: error.code, hint: error.hint }, error.message)
        await catalog.reportProblem('issuer', error).catch(() => undefined)
        await backoff.wait(signal, error.retryAfterMs)
      }
    }
  }

  async #askIssuer(signal: AbortSignal): Promise<void> {
    const { issuer, catalog, ca, log } = this.options
    if (!issuer) return
    const { grant: answer, news } = await requestGrant({ ...issuer, ...(ca === undefined ? {} : { ca }), signal })
    const grant = checkGrant(answer, this.#grant?.server ?? null, new Date())
    // Kept in the catalog too, so that a worker that starts while the issuer is away has it.
    await catalog.installGrant(grant)
    this.#use(grant)
    log.info({ server: grant.server, expiresAt: grant.expires_at }, 'got a grant')
    await this.#hear(news)
  }

  /** What the keyholder knows. Not understood is not heard: it may be newer than we are. */
  async #hear(news: unknown): Promise<void> {
    const { catalog, log } = this.options
    const { drill: newest, drills, kept } = News.safeParse(news).data ?? {}
    const drill = drills ? await this.#ownDrill(drills) : newest
    if (drill && (await catalog.recordDrill(drill)))
      log.info({ backupId: drill.backup_id, ok: drill.ok }, 'heard of a drill')
    for (const one of kept ?? []) {
      if (one.server !== this.#grant?.server || this.#heard.get(one.system_identifier) === one.listed_at) continue
      const rows = await catalog.recordKept(one)
      if (rows > 0) log.info({ rows, listedAt: one.listed_at }, 'heard of what was pruned: it is not offered any more')
      this.#heard.set(one.system_identifier, one.listed_at)
    }
  }

  /** Of this life of the server: what was proved of an earlier one says nothing of its backups. */
  async #ownDrill(drills: readonly DrillResult[]): Promise<DrillResult | null> {
    if (drills.length === 0) return null
    const { system_identifier } = await this.options.catalog.walIdentity()
    return drills.find((one) => one.system_identifier === system_identifier) ?? null
  }

  #use(grant: Grant): void {
    this.#grant = grant
    this.options.onChange()
  }
}
