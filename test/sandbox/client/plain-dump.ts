import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DumpManifest } from '../../../src/box/dump-manifest.js'
import type { BackedUpServer } from '../backed-up-server.js'
import { linesOf } from '../by-hand.js'
import { removeScratch, scratchDir } from '../postgres.js'
import { plainEnv, run } from '../run.js'

/** A new database on the server of the backup, to restore a dump into. The caller removes it. */
export async function copyOfDump(backedUp: BackedUpServer, bin: string, database: string): Promise<DumpCopyDatabase> {
  await backedUp.postgres.query(`create database ${database}`)
  return new DumpCopyDatabase(backedUp, bin, database, await scratchDir('dump'))
}

/** Restores dumps with `zstd` and `psql` alone, as the RESTORE note says, and checks what the manifest says of them. */
export class DumpCopyDatabase {
  constructor(
    readonly backedUp: BackedUpServer,
    readonly bin: string,
    readonly database: string,
    readonly scratch: string,
  ) {}

  async load({ sections, tables, encoding }: DumpManifest): Promise<void> {
    await this.#psql(['-f', await this.#unpack(sections['pre-data'])])
    for (const { schema, name, columns, copy_into, slices } of tables) {
      const into = copy_into ?? { schema, name }
      const list = columns.length === 0 ? '' : `(${columns.map(quoted).join(', ')})`
      const statement = `copy ${quoted(into.schema)}.${quoted(into.name)} ${list} from stdin with (encoding '${encoding}')`
      for (const { parts, sha256 } of slices) {
        const file = await this.#unpack(parts)
        if ((await run('sha256sum', [file])).slice(0, 64) !== sha256) throw new Error(`${name} is damaged`)
        await this.#psql(['-c', statement], file)
      }
    }
    await this.#psql(['-f', await this.#unpack(sections.data)])
    await this.#psql(['-f', await this.#unpack(sections['post-data'])])
  }

  /** The same by the commands of the note, word by word; only the files and the database are there already. */
  async loadByNote({ server, system_identifier, dump_id }: DumpManifest): Promise<void> {
    const prefix = `${server}/${system_identifier}/dump/${dump_id}/`
    for (const key of this.backedUp.bucket.keys(prefix)) {
      const name = key.slice(prefix.length).replace(/^manifest-.*/, 'manifest.json')
      const file = join(this.scratch, 'dump', name)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, this.backedUp.bucket.get(key))
    }
    const commands = linesOf(server, ['D2'])
      .replace(/^createdb .*$/m, '')
      .replaceAll(' -d copy', '')
    const env = {
      PATH: `${this.bin}:${plainEnv.PATH}`,
      PGHOST: '127.0.0.1',
      PGPORT: String(this.backedUp.postgres.port),
      PGUSER: 'postgres',
      PGDATABASE: this.database,
    }
    await run('sh', ['-euc', commands], { cwd: this.scratch, env })
  }

  /** The only column of the only row of a query. */
  async value(text: string, params: unknown[] = []): Promise<unknown> {
    const [row] = await this.backedUp.postgres.query(text, params, { database: this.database })
    return Object.values(row!)[0]
  }

  /** What pg_dump says of a database, but for what is other each time. */
  async pgDump(database: string, more: readonly string[] = []): Promise<string> {
    const args = ['-N', 'backup', ...more, '-d', this.backedUp.postgres.url({ database })]
    return (await run(join(this.bin, 'pg_dump'), args)).replace(/^\\(un)?restrict .*$/gm, '')
  }

  async remove(): Promise<void> {
    await this.backedUp.postgres.query(`drop database ${this.database} with (force)`)
    await removeScratch(this.scratch)
  }

  /** Parts of one file, joined and unpacked. */
  async #unpack(parts: readonly { key: string; sha256: string }[]): Promise<string> {
    const file = join(this.scratch, 'unpacked')
    const stored = parts.map(({ key, sha256 }) => {
      const bytes = this.backedUp.bucket.get(key)
      if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw new Error(`${key} is damaged`)
      return bytes
    })
    await writeFile(file, '')
    if (parts.length === 0) return file
    await writeFile(`${file}.zst`, Buffer.concat(stored))
    await run('zstd', ['-dqf', `${file}.zst`, '-o', file])
    return file
  }

  async #psql(args: readonly string[], input = '/dev/null'): Promise<void> {
    const url = this.backedUp.postgres.url({ database: this.database })
    // Names come from the manifest; files of SQL say their encoding themselves.
    const env = { ...plainEnv, PGCLIENTENCODING: 'UTF8' }
    const psql = [join(this.bin, 'psql'), '-qX', '-v', 'ON_ERROR_STOP=1', '-d', url, ...args]
    await run('sh', ['-c', 'input=$1; shift; exec "$@" < "$input"', 'sh', input, ...psql], { env })
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
