import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
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
})
