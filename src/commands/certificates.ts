import { readFileSync } from 'node:fs'
import { PostboxError } from '../errors.js'

/** The certificates that POSTBOX_CA_FILE names. Throws `config_invalid`. */
export function readCertificates(file: string | null): string | undefined {
  if (file === null) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const hint = 'Name a PEM file that the worker may read.'
    throw new PostboxError('config_invalid', `POSTBOX_CA_FILE names ${file}, which cannot be read`, hint, { cause })
  }
}
