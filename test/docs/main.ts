import { writeFile } from 'node:fs/promises'
import { installCatalog } from '../../src/catalog/install.js'
import { startPostgres } from '../sandbox/postgres.js'
import { catalogPages } from './catalog-pages.js'
import { sourcePages } from './pages.js'

// npm run docs: writes every page that is made.
const server = await startPostgres({ version: 18 })
try {
  const client = await server.connect()
  await installCatalog(client)
  const pages = { ...(await sourcePages()), ...(await catalogPages(client)) }
  await client.end()
  for (const [path, text] of Object.entries(pages)) await writeFile(new URL(`../../${path}`, import.meta.url), text)
  process.stdout.write(`${Object.keys(pages).join('\n')}\n`)
} finally {
  await server.remove()
}
