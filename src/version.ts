import { readFileSync } from 'node:fs'

/** Postbox's version, as package.json has it; the file lies one folder above both src and dist. */
export const version: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version
