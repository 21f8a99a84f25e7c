import { describe, expect, test } from 'vitest'
import { checkGrant } from '../../src/box/grant-check.js'
import { runPostbox } from '../sandbox/postbox.js'
import { installedServer } from '../sql/installed-server.js'

const env = {
  POSTBOX_BUCKET: 'acme-backups',
  POSTBOX_S3_ENDPOINT: "https://s3.example.com/it's",
  AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'the-secret-key',
}

describe('what postbox grant prints', () => {
  const server = installedServer()

  test.each<[string, Record<string, string>, RegExp]>([
    ['a lasting S3 key', {}, /^$/],
    ['a temporary S3 key', { AWS_SESSION_TOKEN: 'session/token+=' }, /^warning: the S3 key is a temporary one .*\n$/],
  ])('can be pasted into backup.install_grant(), signed by %s', async (_, more, warning) => {
    const { code, stdout, stderr } = await runPostbox(['grant', '--server', 'db1'], { env: { ...env, ...more } })
    expect(code).toBe(0)
    expect(stderr).toMatch(warning)
    // As the shell does in --help's example, with no parameter to hide a quote.
    const end = await server.value<Date>(`select backup.install_grant('${stdout.trimEnd()}')`, [], 'olga')
    const kept = checkGrant(await server.value('select backup._grant()', [], 'walt'), 'db1', new Date())
    expect(kept).toEqual(JSON.parse(stdout))
    expect(new Date(kept.expires_at)).toEqual(end)
  })
})
