import { createHttpBox } from '../box/http-box.js'
import { refreshing } from '../box/refreshing.js'
import { retrying } from '../box/retrying.js'
import { openCatalog } from '../catalog/catalog.js'
import type { Secret } from '../secret.js'
import { LONG_HEADER_BYTES } from '../wal/page.js'
import type { WalFile } from './archive-client.js'
import { GrantKeeper } from './grant-keeper.js'
import type { WorkerOptions } from './term.js'
import { WalFileStore } from './wal-file-store.js'

export interface ArchiveAloneOptions extends Pick<WorkerOptions, 'issuer' | 'ca' | 'log'> {
  /** the primary's */
  databaseUrl: Secret
}

/** Some seconds: Postgres tries again by itself, and waits for us when it shuts down. */
const RETRIES = { retries: 3, minDelayMs: 250, maxDelayMs: 2000 }

/** Stores one file without a worker, with the grant of the catalog. Throws as catalog, issuer and box do. */
export async function archiveAlone({ databaseUrl, ...options }: ArchiveAloneOptions, file: WalFile): Promise<void> {
  // Only Postgres decides when to give up.
  const { signal } = new AbortController()
  await using catalog = await openCatalog(databaseUrl)
  const identity = await catalog.walIdentity()
  const settings = await catalog.settings()
  const grants = new GrantKeeper({ catalog, ...options, onChange: () => undefined })
  await grants.load()
  if (options.issuer && (await catalog.currentGrant()) === null) await grants.refresh(signal)

  const { ca } = options
  const http = createHttpBox({ grant: () => grants.current(), connections: 1, ...(ca === undefined ? {} : { ca }) })
  try {
    const store = new WalFileStore({
      catalog,
      box: retrying(
        refreshing(http, () => grants.refresh(signal)),
        RETRIES,
      ),
      server: () => grants.current().server,
      compressionLevel: () => settings.compression_level,
      identity,
      streamed: null,
    })
    const { name, content, sha256 } = file
    const head = content.subarray(0, LONG_HEADER_BYTES)
    const offered = { name, bytes: content.length, head, sha256: async () => sha256, read: async () => content }
    await store.store(offered, signal)
  } finally {
    await http.close()
  }
}
