import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { endWithUs, forgetProcess } from '../guard.js'
import { freePort } from '../ports.js'
import { run } from '../run.js'
import { makeCertificate } from '../s3/tls.js'
import { removeScratch, scratchDir } from '../scratch.js'

export { cephAvailable } from './available.js'

export interface CephOptions {
  /** such as `a`, `b:lock` (Object Lock, hence versioned too) and `c:versioned` */
  buckets: string[]
  /** what it can hold, in RAM; when it is full every write hangs. Default 4. */
  storeGb?: number
  /** more users, without a right to anything: their access key is accessKeyOf() */
  users?: string[]
}

/** A Ceph of one node: the one real S3 server at hand that checks POST policies. */
export interface Ceph {
  /** plain HTTP, path style */
  endpoint: string
  tlsEndpoint: string
  /** the certificate that clients of tlsEndpoint must trust */
  caFile: string
  accessKey: string
  secretKey: string
  region: 'us-east-1'
  /** Ends it and forgets all that it held. */
  stop(): Promise<void>
}

/** The access key of one of CephOptions.users; the secret is that of all. */
export const accessKeyOf = (user: string): string => `${KEYS.accessKey}-${user}`

const KEYS = { accessKey: 'sandboxaccesskey0001', secretKey: 'sandboxsecretkey/0000000000000000000001' }

/** Starts an empty Ceph in about two seconds. Ask cephAvailable() first. It ends with the test process, at the latest. */
export async function startCeph({ buckets, storeGb = 4, users = [] }: CephOptions): Promise<Ceph> {
  const [home, certificate] = await Promise.all([scratchDir('ceph'), makeCertificate()])
  const cluster = join(home, 'cluster')
  const [caFile, pemFile] = [join(home, 'ca.pem'), join(home, 'both.pem')]
  await writeFile(caFile, certificate.cert)
  await writeFile(pemFile, Buffer.concat([certificate.cert, certificate.key]))
  await certificate.remove()
  const [port, tlsPort, monitorPort] = await Promise.all([freePort(), freePort(), freePort()])
  const env = {
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    LC_ALL: 'C',
    S3_ACCESS_KEY: KEYS.accessKey,
    S3_SECRET_KEY: KEYS.secretKey,
    BUCKETS: buckets.join(' '),
    MORE_USERS: users.join(' '),
    STORE_GB: String(storeGb),
    TLS_PORT: String(tlsPort),
    TLS_PEM: pemFile,
  }
  await run(join(import.meta.dirname, 'start.sh'), [cluster, String(port), String(monitorPort)], { env })
  const pids = await Promise.all(['rgw', 'osd', 'mon'].map((name) => readPid(join(cluster, `${name}.pid`))))
  for (const pid of pids) endWithUs(pid, 'KILL')
  return {
    endpoint: `http://127.0.0.1:${port}`,
    tlsEndpoint: `https://127.0.0.1:${tlsPort}`,
    caFile,
    ...KEYS,
    region: 'us-east-1',
    stop: async () => {
      await run(join(import.meta.dirname, 'stop.sh'), [cluster])
      for (const pid of pids) forgetProcess(pid)
      await removeScratch(home)
    },
  }
}

async function readPid(file: string): Promise<number> {
  return Number.parseInt(await readFile(file, 'utf8'), 10)
}
