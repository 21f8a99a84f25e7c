import { chmod, chown, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sandboxUser, type SandboxPostgres } from './postgres.js'
import { makeCertificate } from './s3/tls.js'

/** Lets a server take connections over TLS, with a certificate that nobody has signed. */
export async function turnOnTls(postgres: SandboxPostgres): Promise<void> {
  const { key, cert, remove } = await makeCertificate()
  await remove()
  for (const [name, content] of [
    ['server.key', key],
    ['server.crt', cert],
  ] as const) {
    const file = join(postgres.dataDir, name)
    await writeFile(file, content)
    await chmod(file, 0o600)
    const user = sandboxUser()
    if (user) await chown(file, user.uid, user.gid)
  }
  await postgres.query('alter system set ssl = on')
  await postgres.query('select pg_reload_conf()')
}
