import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { filesIn, sources } from './source-files.js'

interface Statement {
  Effect: 'Allow' | 'Deny'
  Action: string | string[]
  Resource: string | string[]
  Condition?: Record<string, Record<string, string | string[]>>
}

/** What each request of the SDK needs. A version can be named in the second of a pair. */
const ACTIONS: Record<string, string[]> = {
  GetObjectCommand: ['GetObject', 'GetObjectVersion'],
  ListObjectsV2Command: ['ListBucket'],
  ListObjectVersionsCommand: ['ListBucketVersions'],
  PutObjectCommand: ['PutObject'],
  DeleteObjectCommand: ['DeleteObject', 'DeleteObjectVersion'],
  GetObjectRetentionCommand: ['GetObjectRetention'],
  GetObjectLegalHoldCommand: ['GetObjectLegalHold'],
  createPresignedPost: ['PutObject'],
}

/** Whose requests stand in which file. The issuer, which may also have news.json, is tried at a real S3. */
const POLICIES_OF: Record<string, string[]> = {
  'src/keyholder/sign-policy.ts': ['signer', 'prober'],
  'src/keyholder/archive.ts': ['reader', 'pruner', 'prober'],
  // results of drills, plans, results of probes
  'src/keyholder/put-json.ts': ['reader', 'pruner', 'prober'],
  'src/keyholder/prune/deletable-archive.ts': ['pruner'],
  'src/keyholder/probe/probe.ts': ['prober'],
}

const policies = new Map(
  filesIn('docs/iam').map(({ path, text }) => [
    posix.basename(path, '.json'),
    (JSON.parse(text) as { Statement: Statement[] }).Statement,
  ]),
)
const actionsOf = (statements: readonly Statement[]) =>
  new Set(statements.flatMap(({ Action }) => Action).map((action) => action.replace(/^s3:/, '')))

const requestsIn = (text: string) =>
  [...text.matchAll(/new (\w+Command)\(|\b(createPresignedPost)\(/g)].map(([, a, b]) => (a ?? b)!)

const requests = new Map(
  sources()
    .map(({ path, text }) => [path, requestsIn(text)] as const)
    .filter(([, made]) => made.length > 0),
)

describe('the IAM policies of docs/iam', () => {
  it('know every request that the code makes, and for whom', () => {
    expect(new Set([...requests.values()].flat())).toEqual(new Set(Object.keys(ACTIONS)))
    expect(new Set(requests.keys())).toEqual(new Set(Object.keys(POLICIES_OF)))
  })

  it.each(['signer', 'reader', 'pruner', 'prober'])(
    '%s.json allows what its code asks for, and nothing else',
    (name) => {
      const made = Object.entries(POLICIES_OF).flatMap(([path, whose]) =>
        whose.includes(name) ? requests.get(path)! : [],
      )
      expect(actionsOf(policies.get(name)!)).toEqual(new Set(made.flatMap((request) => ACTIONS[request]!)))
    },
  )

  it('let the signer post below its servers and do nothing else', () => {
    expect(policies.get('signer')).toMatchObject([
      {
        Action: 's3:PutObject',
        Resource: 'arn:aws:s3:::acme-backups/db1/*',
        Condition: { StringEquals: { 's3:authType': 'POST' } },
      },
    ])
  })

  it('are given by docs/install.md each under its own name, since the same one replaces the other', () => {
    const { text } = filesIn('docs').find(({ path }) => path === 'docs/install.md')!
    const line =
      /put-user-policy --user-name (\S+) --policy-name (\S+) --policy-document file:\/\/docs\/iam\/(\S+)\.json/g
    const given = [...text.matchAll(line)].map(([, user, name, file]) => ({ user, name, file }))
    expect(given).toEqual([
      { user: 'postbox-signer', name: 'signer', file: 'signer' },
      { user: 'postbox-signer', name: 'news', file: 'news' },
    ])
    expect(text.split('put-user-policy')).toHaveLength(given.length + 1)
  })

  it('let none but the pruner delete what a server stored, and none write there but the signer', () => {
    for (const [name, statements] of policies) {
      for (const { Action, Resource } of statements.filter(({ Effect }) => Effect === 'Allow')) {
        const actions = [Action].flat()
        expect(actions.filter((action) => !/^s3:\w+$/.test(action))).toEqual([])
        const ours = [Resource].flat().every((one) => one.startsWith('arn:aws:s3:::acme-backups/.postbox/'))
        if (!ours && actions.some((action) => /Delete/.test(action))) expect(name).toBe('pruner')
        if (!ours && actions.some((action) => /Put|Bypass/.test(action))) expect(name).toMatch(/^(ceph-)?signer$/)
      }
    }
  })
})
