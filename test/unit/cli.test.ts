import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { commands } from '../../src/commands/registry.js'
import { runPostbox } from '../sandbox/postbox.js'

const s3Keys = { AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE', AWS_SECRET_ACCESS_KEY: 'the-secret-key' }

describe('postbox', () => {
  test('says its version as package.json has it', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await runPostbox(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('shows every command with an example in its help', async () => {
    const { code, stdout } = await runPostbox(['--help'])
    expect(code).toBe(0)
    for (const { name, description, example } of commands) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'))
      expect(stdout.replace(/\s+/g, ' ')).toContain(description)
      expect(stdout).toContain(`  $ ${example}\n`)
      expect(example).toMatch(new RegExp(`^postbox ${name}\\b`))
    }
  })

  test('without a command shows the help as an error', async () => {
    const { code, stdout, stderr } = await runPostbox([])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('Usage: postbox')
  })

  test('names an unknown command, the one that may be meant, and the help', async () => {
    const { code, stdout, stderr } = await runPostbox(['grnat'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(/^postbox: unknown command 'grnat' \(bad_argument\)\nhint: Did you mean grant\?\n\nUsage: /)
  })

  test('refuses an unknown option in one line and a hint', async () => {
    const { code, stderr } = await runPostbox(['grant', '--server', 'db1', '--colour'])
    expect(code).toBe(2)
    expect(stderr).toMatch(/^postbox: unknown option '--colour' \(bad_argument\)\nhint: .+\n$/)
  })

  test('tells a failure in one line and a hint, and nothing on standard output', async () => {
    const { code, stdout, stderr } = await runPostbox(['grant', '--server', 'db1'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      'postbox: POSTBOX_BUCKET is not set (config_missing)\nhint: Set it, for example to: acme-backups.\n',
    )
  })

  test('tells a failure as JSON where JSON was asked for', async () => {
    const { code, stderr } = await runPostbox(['issuer', '--new-token', 'a/b', '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stderr)).toEqual({
      error: { code: 'bad_argument', message: '"a/b" cannot be a server name', hint: expect.any(String) },
    })
  })

  test('starts from any working directory', async () => {
    expect(await runPostbox(['--version'], { cwd: '/' })).toMatchObject({ code: 0 })
  })

  test('ends a failed fetch-wal with 255, which stops a recovery instead of ending it early', async () => {
    expect(await runPostbox(['fetch-wal', '--no-such-option'])).toMatchObject({ code: 255 })
  })
})

describe.each(commands.map(({ name }) => name))('postbox %s', (name) => {
  test('shows an example in its help', async () => {
    const { code, stdout } = await runPostbox([name, '--help'])
    expect(code).toBe(0)
    expect(stdout).toContain(`Usage: postbox ${name} `)
    expect(stdout).toMatch(new RegExp(`^\\s*(\\$|restore_command =|archive_command =) .*postbox ${name}\\b`, 'm'))
  })
})

describe('postbox grant', () => {
  const env = { ...s3Keys, POSTBOX_BUCKET: 'acme-backups' }

  test('prints one line of JSON that fits between single quotes in SQL', async () => {
    const odd = { ...env, POSTBOX_S3_ENDPOINT: "https://s3.example.com/it's" }
    const { code, stdout, stderr } = await runPostbox(['grant', '--server', 'db1', '--expires', '90s'], { env: odd })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^\{.*\}\n$/)
    expect(stdout).not.toContain("'")
    const grant = JSON.parse(stdout) as { url: string; issued_at: string; expires_at: string; max_part_bytes: number }
    expect(grant.url).toBe("https://s3.example.com/it's/acme-backups")
    expect(Date.parse(grant.expires_at) - Date.parse(grant.issued_at)).toBe(90_000)
    expect(grant.max_part_bytes).toBe(64 * 1024 ** 2)
  })

  test('warns on standard error of a life that S3 may not honour', async () => {
    const { code, stdout, stderr } = await runPostbox(['grant', '--server', 'db1', '--expires', '2d'], { env })
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ server: 'db1' })
    expect(stderr).toMatch(/^warning: a grant of 2d: .*\n$/)
  })

  test.each([
    [['--expires', '8d'], /longer than the seven days .*--force/s],
    [['--expires', 'soon'], /"soon" is not a length of time/],
    [['--max-part-bytes', '0'], /"0" is not a size/],
    [['--curl'], /--curl needs --file/],
    [['--file', '/f'], /go with --curl only/],
    [['--curl', '--file', '/f', '--limit-rate', '10M; rm -rf /'], /is no speed for curl/],
    [['--curl', '--file', '/tmp/..'], /does not name a file/],
    [['--curl', '--file', '/tmp/a\nb'], /control characters/],
  ])('refuses %o', async (args, said) => {
    const { code, stdout, stderr } = await runPostbox(['grant', '--server', 'db1', ...args], { env })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(said)
  })

  test('prints the secret key in no form', async () => {
    for (const args of [[], ['--curl', '--file', '/f']]) {
      const { code, stdout, stderr } = await runPostbox(['grant', '--server', 'db1', ...args], { env })
      expect(code).toBe(0)
      expect(stdout + stderr).not.toContain(s3Keys.AWS_SECRET_ACCESS_KEY)
    }
  })

  test('says where a key is looked for when there is none', async () => {
    const { code, stderr } = await runPostbox(['grant', '--server', 'db1'], { env: { POSTBOX_BUCKET: 'b' } })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^postbox: no S3 key was found \(credentials_missing\)\nhint: Set AWS_ACCESS_KEY_ID /)
  })
})
