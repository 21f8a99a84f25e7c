import { createPool, sql, type DatabasePool, type Interceptor, type QuerySqlToken } from 'slonik'
import type { z } from 'zod'
import { PostboxError } from '../errors.js'
import type { Secret } from '../secret.js'
import { catalogError } from './catalog-error.js'
import { catalogDriver } from './driver.js'

/** slonik types rows by their schema but does not look at them: this does. */
const checkRows: Interceptor = {
  name: 'check-rows',
  transformRowAsync: async ({ resultParser }, _query, row) => {
    if (!resultParser) return row
    const checked = await resultParser['~standard'].validate(row)
    if (checked.issues) throw unexpectedRow(checked.issues)
    return checked.value as typeof row
  },
}

/** Says where the row is wrong and not what it holds: that may be a grant. */
function unexpectedRow(issues: readonly { message: string; path?: readonly unknown[] | undefined }[]): PostboxError {
  const [issue] = issues
  return new PostboxError(
    'internal',
    `the catalog gave an unexpected row: ${issue?.path?.map(String).join('.') ?? ''}: ${issue?.message ?? ''}`,
    'The schema may be of another version: run "postbox install" with this one.',
  )
}

/** A pool whose rows are checked and whose errors are ours. Three sessions: WAL, the job, and what else comes. */
export class CatalogPool {
  readonly #pool: DatabasePool

  private constructor(pool: DatabasePool) {
    this.#pool = pool
  }

  /** Opens no session yet. */
  static async open(databaseUrl: Secret): Promise<CatalogPool> {
    try {
      // slonik wants an address of its own; the driver has the real one.
      const pool = await createPool('postgresql://', {
        driverFactory: catalogDriver(databaseUrl),
        maxPoolSize: 3,
        idleTimeout: 60_000,
        captureStackTrace: false,
        interceptors: [checkRows],
        // A second try is the worker's to decide, after it has said what is wrong.
        connectionRetryLimit: 0,
        // No session state is ever changed, so that there is none to reset.
        resetConnection: () => Promise.resolve(),
      })
      return new CatalogPool(pool)
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  /** The one row of a statement. */
  async one<Row extends z.ZodType>(query: QuerySqlToken<Row>): Promise<z.output<Row>> {
    try {
      return (await this.#pool.one(query)) as z.output<Row>
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  async maybeOne<Row extends z.ZodType>(query: QuerySqlToken<Row>): Promise<z.output<Row> | null> {
    try {
      return (await this.#pool.maybeOne(query)) as z.output<Row> | null
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  async any<Row extends z.ZodType>(query: QuerySqlToken<Row>): Promise<readonly z.output<Row>[]> {
    try {
      return (await this.#pool.any(query)) as readonly z.output<Row>[]
    } catch (thrown) {
      throw catalogError(thrown)
    }
  }

  async end(): Promise<void> {
    await this.#pool.end()
  }
}

/** A JSON argument: no library's idea of JSON comes between, so that bigints and moments are what they were made. */
export const json = (value: unknown): ReturnType<typeof sql.fragment> => sql.fragment`${JSON.stringify(value)}::jsonb`
