import type { Secret } from './secret.js'

/** An address of a database with the password, unless it has one or no user. */
export function withPassword(address: string, password: Secret): string {
  // scheme://user@host; hosts hold no @, and a password would begin with the user's colon.
  const [, scheme, user, rest] = /^(\w+:\/\/)([^:@/?#]+)(@.*)$/s.exec(address) ?? []
  return rest === undefined ? address : `${scheme}${user}:${encodeURIComponent(password.reveal())}${rest}`
}
