import { commandsPage } from './commands-page.js'
import { environmentPage } from './environment-page.js'
import { errorsPage } from './errors-page.js'

/** The pages that are made from the sources alone, by path. Those of catalog-pages.ts need a server. */
export async function sourcePages(): Promise<Record<string, string>> {
  return {
    'docs/errors.md': errorsPage(),
    'docs/reference/commands.md': await commandsPage(),
    'docs/reference/environment.md': environmentPage(),
  }
}
