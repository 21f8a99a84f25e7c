import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { verifyPageChecksums } from '../../src/keyholder/drill/page-checksums.js'
import { postgresVersions, removeScratch, startPostgres } from './postgres.js'
import { makeTablespace } from './workload.js'

afterAll(() => removeScratch())

describe.each(postgresVersions)('pages of Postgres %i', (version) => {
  it('carry the checksums that we compute, and a flipped bit is seen', async () => {
    const postgres = await startPostgres({ version })
    await makeTablespace(postgres, 'elsewhere')
    await postgres.query(`create table here as select n, repeat(md5(n::text), 9) as x from generate_series(1, 20000) as n;
      create index on here (n);
      create table there (n int) tablespace elsewhere;
      insert into there select generate_series(1, 5000)`)
    await postgres.query('vacuum here')
    const [paths] = await postgres.query<{ here: string; there: string }>(
      `select pg_relation_filepath('here') as here, pg_relation_filepath('there') as there`,
    )
    await postgres.stop()

    const clean = await verifyPageChecksums(postgres.dataDir)
    expect(clean.bad).toEqual([])
    expect(clean.files).toBeGreaterThan(600)
    expect(clean.pages).toBeGreaterThan(3000)

    await flipBit(join(postgres.dataDir, paths!.here), 8192 * 3 + 5000)
    await flipBit(join(postgres.dataDir, paths!.there), 8192 + 8)
    const { bad } = await verifyPageChecksums(postgres.dataDir)
    expect(bad).toHaveLength(2)
    expect(bad[0]).toContain(`${paths!.here}: page 3 has checksum`)
    expect(bad[1]).toContain(`${paths!.there}: page 1 has checksum`)
    await postgres.remove()
  })
})

it('counts blocks on from file to file of one relation, and names a file that ends within a page', async () => {
  const postgres = await startPostgres()
  await postgres.query('create table moved as select generate_series(1, 100) as n')
  const [path] = await postgres.query<{ path: string }>(`select pg_relation_filepath('moved') as path`)
  await postgres.stop()
  const file = join(postgres.dataDir, path!.path)
  const content = await readFile(file)
  // The same page as the first of the relation's second file has another block number, so its checksum is wrong there.
  await writeFile(`${file}.1`, content)
  await writeFile(file, content.subarray(0, 8000))
  const { bad } = await verifyPageChecksums(postgres.dataDir)
  expect(bad).toHaveLength(2)
  expect(bad).toContain(`${path!.path}: 8000 bytes are not whole pages`)
  expect(bad.join('\n')).toContain(`${path!.path}.1: page 131072 has checksum`)
  expect(await readdir(join(postgres.dataDir, 'pg_tblspc'))).toEqual([])
  await postgres.remove()
})

async function flipBit(file: string, at: number): Promise<void> {
  const content = await readFile(file)
  content[at] = content[at]! ^ 4
  await writeFile(file, content, { flag: 'r+' })
}
