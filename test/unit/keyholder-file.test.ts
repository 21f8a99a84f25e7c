import { describe, expect, test } from 'vitest'
import { standardSettings } from '../../src/keyholder/fleet/status-settings.js'
import { parseKeyholderFile, parseStatusSettings } from '../../src/keyholder/keyholder-file.js'

const hash = 'ab'.repeat(32)
const other = 'cd'.repeat(32)

describe('keyholder.yaml', () => {
  test('names servers, each with its token, life and size', () => {
    const text = `# ours
servers:
  db1:
    token_sha256: ${hash}
    grant_life: 90min
    max_part_bytes: 1GiB
  db-2.example:
    token_sha256: "${other}"
    max_part_bytes: 1048576
`
    expect(parseKeyholderFile('k.yaml', text)).toEqual([
      { server: 'db1', tokenSha256: Buffer.from(hash, 'hex'), grantLifeSeconds: 5400, maxPartBytes: 1024 ** 3 },
      {
        server: 'db-2.example',
        tokenSha256: Buffer.from(other, 'hex'),
        grantLifeSeconds: 43_200,
        maxPartBytes: 1024 ** 2,
      },
    ])
  })

  test('may say what postbox status warns of and what things cost; what it leaves out is as usual', () => {
    const text = `servers:\n  db1: { token_sha256: ${hash} }\nstatus: { base_max_age: 2d, price_gb_month: 0.01, currency: EUR }\n`
    expect(parseStatusSettings('k.yaml', text)).toEqual({
      servers: ['db1'],
      settings: { ...standardSettings, baseMaxAgeSeconds: 172_800, priceGbMonth: 0.01, currency: 'EUR' },
    })
    expect(parseStatusSettings('k.yaml', 'servers: {}')).toEqual({ servers: [], settings: standardSettings })
  })

  test('may name no server yet', () => {
    expect(parseKeyholderFile('k.yaml', 'servers: {}')).toEqual([])
  })

  test.each<[string, string, RegExp]>([
    ['nothing in it', '', /^k\.yaml: servers: must name each server/],
    ['broken YAML', 'servers:\n  db1: {\n', /^k\.yaml, line 3: /],
    ['a tag of a list', 'servers:\n  - db1\n', /^k\.yaml, line 1: servers: must name each server/],
    ['a key that it does not know', `server:\n  db1: {}\n`, /^k\.yaml(, line 1)?: .*server/],
    ['a misspelt setting', `servers:\n  db1:\n    token_sha256: ${hash}\n    grant_live: 1h\n`, /line 2: .*grant_live/],
    ['a server without a token', 'servers:\n  db1: {}\n', /line 2: servers\.db1\.token_sha256: is missing/],
    ['a token in place of its hash', 'servers:\n  db1:\n    token_sha256: postbox_abc\n', /line 3: .*64 hexadecimal/],
    ['a name that is a path', `servers:\n  db1/x:\n    token_sha256: ${hash}\n`, /line 2: .*is not a server name/],
    [
      'a life of no unit',
      `servers:\n  db1: { token_sha256: ${hash}, grant_life: 12 }`,
      /line 2: .*"12" is not a length/,
    ],
    ['a life over seven days', `servers:\n  db1: { token_sha256: ${hash}, grant_life: 8d }`, /line 2: .*7d or less/],
    ['too large a part', `servers:\n  db1: { token_sha256: ${hash}, max_part_bytes: 6GiB }`, /line 2: .*5GiB or less/],
    [
      'one token for two servers',
      `servers:\n  db1: { token_sha256: ${hash} }\n  db2: { token_sha256: ${hash} }`,
      /servers db1 and db2 have the same token/,
    ],
    [
      'a price that is none',
      'servers: {}\nstatus:\n  price_gb_month: cheap\n',
      /line 3: status\.price_gb_month: must be/,
    ],
    [
      'a name twice',
      `servers:\n  db1: { token_sha256: ${hash} }\n  db1: { token_sha256: ${other} }`,
      /line 3: .*unique/,
    ],
  ])('with %s is refused, saying where', (_, text, said) => {
    expect(() => parseKeyholderFile('k.yaml', text)).toThrow(
      expect.objectContaining({ code: 'config_invalid', message: expect.stringMatching(said) }),
    )
  })
})
