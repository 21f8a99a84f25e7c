import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { createIssuer } from '../../src/keyholder/issuer.js'
import { openKnownServers } from '../../src/keyholder/known-servers.js'
import { openS3 } from '../../src/keyholder/s3-client.js'
import { hashToken, newToken } from '../../src/keyholder/token.js'
import { createLog } from '../../src/log.js'
import type { BackedUpServer } from './backed-up-server.js'
import { freePort } from './ports.js'
import { scratchDir } from './scratch.js'

/** An issuer for one server's worker. */
export class TestIssuer {
  private constructor(
    readonly app: FastifyInstance,
    readonly workerEnv: Record<string, string>,
  ) {}

  static async start({ s3: place }: BackedUpServer): Promise<TestIssuer> {
    const token = newToken()
    const file = join(await scratchDir('issuer'), 'keyholder.yaml')
    await writeFile(
      file,
      `servers:\n  db1:\n    token_sha256: ${hashToken(token).toString('hex')}\n    grant_life: 1h\n`,
    )
    const log = createLog('silent')
    const { accessKey, secretKey, endpoint, region, caFile } = place
    const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey }
    const s3 = openS3({ bucket: 'backups', endpoint, region, pathStyle: true, caFile }, { credentials })
    const app = createIssuer({ s3, bucket: 'backups', servers: await openKnownServers(file, log), log })
    const port = await freePort()
    await app.listen({ host: '127.0.0.1', port })
    return new TestIssuer(app, {
      POSTBOX_ISSUER_URL: `http://127.0.0.1:${port}`,
      POSTBOX_ISSUER_TOKEN: token.reveal(),
    })
  }

  close(): Promise<void> {
    return this.app.close()
  }
}
