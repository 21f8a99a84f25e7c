import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** A certificate for 127.0.0.1 that signs itself. */
export interface TestCertificate {
  key: Buffer
  cert: Buffer
  /** holds the certificate, for those who must trust it; gone after `remove` */
  caFile: string
  remove: () => Promise<void>
}

/** Makes a certificate with openssl, as Node itself can make none. */
export async function makeCertificate(): Promise<TestCertificate> {
  const dir = await mkdtemp(join(tmpdir(), 'postbox-tls-'))
  const [keyFile, caFile] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
    ...['-keyout', keyFile, '-out', caFile],
  ])
  const [key, cert] = await Promise.all([readFile(keyFile), readFile(caFile)])
  return { key, cert, caFile, remove: () => rm(dir, { recursive: true, force: true }) }
}
