import { beforeAll, expect, test } from 'vitest'
import { filesIn } from '../house/source-files.js'
import { installedServer } from './installed-server.js'

const installed = installedServer()

/** What a page has a person type, and what it ends in here, where neither a shell nor the server it is meant for is. */
const ENDS_IN: Record<string, { code: string; because: string }> = {
  "select backup.install_grant('$(postbox grant --server db1 --expires 24h)')": {
    code: '22P02',
    because: 'the shell puts the grant there',
  },
  "select pg_drop_replication_slot('postbox')": { code: '42704', because: 'no worker has made the slot' },
  "SELECT backup.mask('app.users_old.email', NULL)": { code: 'PB001', because: 'nothing was masked under that name' },
  'select pg_wal_replay_resume()': { code: '55000', because: 'this server does not recover' },
}

/** SQL of fences, of psql -c in fences of the shell, and between backticks, in the order of the page. */
function statementsOf(text: string): string[] {
  const code = /^```(sql|sh)\n(.*?)^```$|`((?:select|alter|set) [^`]+)`/gims
  return [...text.matchAll(code)]
    .flatMap(([, kind, block, inline]) => {
      if (inline !== undefined) return [inline.replace(/\s+/g, ' ')]
      if (kind === 'sql') return block!.split(/;$/m).map((one) => one.trim())
      const lines = block!.replaceAll('\\\n', ' ').split('\n')
      return lines
        .filter((line) => line.startsWith('psql '))
        .flatMap((line) =>
          [...line.matchAll(/ -c (?:"([^"]*)"|'([^']*)')/g)].map(([, double, single]) => double ?? single!),
        )
    })
    .filter(Boolean)
}

const pages = filesIn('docs/how-to')
  .map(({ path, text }) => ({ path, statements: statementsOf(text) }))
  .filter(({ statements }) => statements.length > 0)

beforeAll(async () => {
  await installed.rows('create schema app')
  await installed.rows('create table app.users (id integer, email text, phone text)')
})

test.each(pages)('the SQL of $path runs', async ({ statements }) => {
  // One page has COMMITs wait for a worker, which is not here.
  await installed.rows('set synchronous_commit = local')
  for (const statement of statements) {
    const known = ENDS_IN[statement]
    if (known) expect((await installed.error(statement)).code, `${statement}: ${known.because}`).toBe(known.code)
    else await installed.rows(statement)
  }
  await installed.rows("select backup.configure('stream_wal', null)")
})

test('every page with SQL is read, and what cannot run here still stands there', () => {
  const all = pages.flatMap(({ statements }) => statements)
  expect(Object.keys(ENDS_IN).filter((one) => !all.includes(one))).toEqual([])
  expect(all.length).toBeGreaterThan(15)
  expect(all).toContain("select backup.configure('stream_wal', 'off')")
})
