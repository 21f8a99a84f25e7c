import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates } from 'node:tls'

/** A file of the certificates that this process trusts, for libpq, which has no such list of its own before 16. */
export class TrustedCertificates implements AsyncDisposable {
  private constructor(
    readonly directory: string,
    /** PEM */
    readonly file: string,
  ) {}

  static async write(): Promise<TrustedCertificates> {
    const directory = await mkdtemp(join(tmpdir(), 'postbox-'))
    const file = join(directory, 'trusted.pem')
    await writeFile(file, getCACertificates('default').join('\n'), { mode: 0o600 })
    return new TrustedCertificates(directory, file)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}
