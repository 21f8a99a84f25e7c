import { variables } from '../../src/variables.js'
import { code, MADE, markdownTable, plain } from './markdown.js'

const HEAD = `${MADE}
# Environment

Every variable that Postbox reads, and which side needs it: *worker* is the database's side, *keyholder* the side that has S3
keys. An empty variable counts as one that is not set. S3 keys are found by the AWS SDK's usual chain (\`AWS_ACCESS_KEY_ID\`, profiles,
instance roles), on the keyholder's side alone.
`

/** docs/reference/environment.md, from src/variables.ts. */
export function environmentPage(): string {
  const rows = variables.map(({ name, side, meaning, default: standard }) => [
    code(name),
    side,
    plain(meaning),
    plain(standard ?? ''),
  ])
  return [HEAD, markdownTable(['variable', 'side', 'meaning', 'default'], rows), ''].join('\n')
}
