import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { Secret } from '../secret.js'
import type { KnownServer } from './keyholder-file.js'

/** A fresh token: 256 random bits, so that its plain SHA-256 is as hard to guess as the token itself. */
export function newToken(): Secret {
  return new Secret(`postbox_${randomBytes(32).toString('base64url')}`)
}

/** What the keyholder keeps of a token. */
export function hashToken(token: Secret): Buffer {
  return createHash('sha256').update(token.reveal()).digest()
}

/** The server that the token belongs to, or null. Takes as long for a wrong token as for a right one. */
export function ownerOf(token: Secret, servers: readonly KnownServer[]): KnownServer | null {
  const hash = hashToken(token)
  let owner: KnownServer | null = null
  for (const server of servers) {
    if (timingSafeEqual(hash, server.tokenSha256)) owner = server
  }
  return owner
}
