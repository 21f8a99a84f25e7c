// Lets Node run the TypeScript sources: node --import ./.ts-node.js src/cli.ts
import { register } from 'node:module'

register('ts-node/esm', import.meta.url)
