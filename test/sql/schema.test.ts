import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { catalogPages } from '../docs/catalog-pages.js'
import { postgresVersions } from '../sandbox/postgres.js'
import { dumpSchema } from './dump-schema.js'
import { installedServer } from './installed-server.js'

const kept = new URL('schema.sql', import.meta.url)

describe.each(postgresVersions)('the installed schema on Postgres %i', (version) => {
  const catalog = installedServer(version)

  // After a wanted change: UPDATE_SCHEMA=1 vitest run test/sql/schema.test.ts
  test('is the one that test/sql/schema.sql shows', async () => {
    const dumped = await dumpSchema(await catalog.session())
    if (process.env['UPDATE_SCHEMA'] === '1') await writeFile(kept, dumped)
    expect(dumped).toBe(await readFile(kept, 'utf8'))
  })

  // After a wanted change: npm run docs
  test.runIf(version === 18)('is the one that docs/reference describes', async () => {
    for (const [path, text] of Object.entries(await catalogPages(await catalog.session()))) {
      expect(await readFile(new URL(`../../${path}`, import.meta.url), 'utf8')).toBe(text)
    }
  })
})
