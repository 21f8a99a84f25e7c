import { describe, expect, it } from 'vitest'
import { forbiddenWays, importGraph } from './import-graph.js'
import { sources } from './source-files.js'
import { backupSql } from './sql-strings.js'

const graph = importGraph(sources())

const POSTGRES = /^(pg|pg-copy-streams|slonik)(\/|$)/
const HTTP = /^(undici|fastify|(node:)?https?2?)(\/|$)/
const S3_KEYS = /^(@aws-sdk|@smithy|@aws-crypto)\/|^src\/keyholder\//

describe('the sources', () => {
  it('keep the worker side away from the keyholder and from every AWS package', () => {
    expect(forbiddenWays(graph, /^src\/(catalog|source|transform|box|worker|wal|doctor)\//, S3_KEYS)).toEqual([])
  })

  it('keep the commands that run on the database server away from them too', () => {
    const onServer = /^src\/commands\/(worker|install|check|archive-wal|jobs|doctor)\.ts$/
    expect(forbiddenWays(graph, onServer, S3_KEYS)).toEqual([])
  })

  it('keep HTTP out of src/source, and the box', () => {
    expect(forbiddenWays(graph, /^src\/source\//, HTTP)).toEqual([])
    expect(forbiddenWays(graph, /^src\/source\//, /^src\/(box|catalog|worker|commands)\//)).toEqual([])
  })

  it('keep Postgres out of src/box, and the source', () => {
    expect(forbiddenWays(graph, /^src\/box\//, POSTGRES)).toEqual([])
    expect(forbiddenWays(graph, /^src\/box\//, /^src\/(source|catalog|worker|commands)\//)).toEqual([])
  })

  it('keep src/wal pure: no packages, and nothing of ours but the errors', () => {
    expect(forbiddenWays(graph, /^src\/wal\//, /^(?!src\/wal\/|src\/errors\.ts$)/)).toEqual([])
  })

  it('keep src/html by itself, so that the worker and the keyholder can both make pages with it', () => {
    expect(forbiddenWays(graph, /^src\/html\//, /^(?!src\/html\/)/)).toEqual([])
  })

  it('let src/catalog alone speak to the catalog', () => {
    const others = sources().filter(({ path }) => !path.startsWith('src/catalog/'))
    expect(others.flatMap(backupSql)).toEqual([])
    const strangers = new RegExp('^src/(?!catalog/)')
    const users = [...graph].filter(([path, imported]) => strangers.test(path) && imported.includes('slonik'))
    expect(users.map(([path]) => path)).toEqual([])
  })

  it('import only files that are there', () => {
    const missing = [...graph].flatMap(([path, imported]) =>
      imported.filter((one) => one.endsWith('.ts') && !graph.has(one)).map((one) => `${path} > ${one}`),
    )
    expect(missing).toEqual([])
    expect(graph.size).toBeGreaterThan(50)
  })
})

describe('the rules themselves', () => {
  it('see a forbidden import at the end of a long way, also of a type, a re-export or a dynamic import', () => {
    const files = [
      { path: 'src/worker/a.ts', text: `import type { B } from '../box/b.js'` },
      { path: 'src/box/b.ts', text: `export * from './c.js'` },
      { path: 'src/box/c.ts', text: `const later = () => import('../keyholder/d.js')\nimport './b.js'` },
      { path: 'src/keyholder/d.ts', text: `import { S3Client } from '@aws-sdk/client-s3'` },
    ]
    const way = 'src/worker/a.ts > src/box/b.ts > src/box/c.ts > src/keyholder/d.ts'
    expect(forbiddenWays(importGraph(files), /^src\/worker\//, S3_KEYS)).toEqual([way, `${way} > @aws-sdk/client-s3`])
    expect(forbiddenWays(importGraph(files), /^src\/worker\//, POSTGRES)).toEqual([])
  })

  it('tell SQL on the schema from advice that names it', () => {
    const found = (text: string) => backupSql({ path: 'src/x.ts', text }).length
    expect(found('await client.query(`update jobs set x = 1 from backup._job`)')).toBe(1)
    expect(found('await pool.one(sql.type(Row)`values (backup.claim(${worker}))`)')).toBe(1)
    expect(found(`const CLAIM = 'select * from backup.claim_job($1)'`)).toBe(1)
    expect(found('const CLAIM = `\n  select "backup"."claim_job"(${one})`')).toBe(1)
    expect(found(`throw new PostboxError('x', 'y', 'select backup.install_grant(…).')`)).toBe(0)
    expect(found(`const help = 'Look at backup.checks.'`)).toBe(0)
    expect(found('// select backup.claim_job()\nconst x = backup.state')).toBe(0)
    expect(found('await client.query(`select ${backup.state}`)')).toBe(0)
  })
})
