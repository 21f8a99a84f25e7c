import { describe, expect, test } from 'vitest'
import { startPostgres } from '../sandbox/postgres.js'
import { runPostbox } from '../sandbox/postbox.js'

describe('postbox install', () => {
  test('installs, names the server and makes the worker role, as often as it is asked', async () => {
    const server = await startPostgres()
    const args = ['install', '--database-url', server.url(), '--server', 'db1', '--worker-role', 'postbox']
    for (let times = 0; times < 2; times++) {
      expect(await runPostbox(args)).toEqual({
        code: 0,
        stdout: 'The catalog is installed in the database postgres.\n',
        stderr: '',
      })
    }
    expect(await server.query('select server from backup.status', [], { user: 'postbox' })).toEqual([{ server: 'db1' }])
    expect(await server.query(`select rolreplication from pg_roles where rolname = 'postbox'`)).toEqual([
      { rolreplication: true },
    ])
    await server.remove()
  })

  test('takes the address from the environment, and says what is wrong in one line with a hint', async () => {
    const server = await startPostgres()
    await server.query('create role plain login')
    const outcome = async (user: string, ...more: string[]) => {
      const env = { POSTBOX_DATABASE_URL: server.url({ user }) }
      const { code, stdout, stderr } = await runPostbox(['install', ...more], { env })
      return { code, stdout, lines: stderr.split('\n') }
    }
    expect(await outcome('plain')).toMatchObject({
      code: 1,
      stdout: '',
      lines: [
        expect.stringMatching(/^postbox: the catalog cannot be installed: .* \(catalog_refused\)$/),
        expect.stringMatching(/^hint: Install as a superuser/),
        '',
      ],
    })
    expect(await outcome('postgres', '--server', 'not/a/name')).toMatchObject({
      code: 1,
      lines: [expect.stringContaining('(bad_argument)') as string, expect.stringMatching(/^hint: /), ''],
    })
    expect(await server.query(`select from pg_namespace where nspname = 'backup'`)).toEqual([])
    await server.remove()
    expect(await outcome('postgres')).toMatchObject({
      code: 1,
      lines: [expect.stringContaining('(database_unavailable)') as string, expect.stringMatching(/^hint: /), ''],
    })
  })
})
