import type { ClientBase } from 'pg'
import { catalogError } from './catalog-error.js'

/** Changes a setting; null returns to its default. Throws `bad_argument` with the values that are allowed. */
export async function configure(client: ClientBase, setting: string, value: string | null): Promise<void> {
  try {
    await client.query('select backup.configure($1, $2)', [setting, value])
  } catch (thrown) {
    throw catalogError(thrown)
  }
}
