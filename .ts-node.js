// Lets Node run the TypeScript sources: node --import ./.ts-node.js src/cli.ts
import { register } from 'node:module'
import { fileURLToPath } from 'node:url'

// ts-node looks for its settings from the working directory on, and Postgres runs its restore_command in a data directory.
process.env.TS_NODE_PROJECT ??= fileURLToPath(new URL('tsconfig.json', import.meta.url))
register('ts-node/esm', import.meta.url)
