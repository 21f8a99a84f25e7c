import type { StoredKey } from '../object-versions.js'
import { versionsOf, type KeyVersion } from './deletable-archive.js'
import type { Account } from '../key-account.js'
import { bytesOf } from './survey.js'

/** A key that is to go with all its versions and delete markers, and why. */
export interface Deletion {
  key: string
  kind: 'manifest' | 'part' | 'segment' | 'tail' | 'history'
  /** of the backup or dump that it belongs to; null for WAL */
  id: string | null
  /** null for backups and dumps */
  timeline: number | null
  because: string
  versions: KeyVersion[]
  /** of all versions */
  bytes: number
}

export function deletionOf(stored: StoredKey, account: Account, because: string): Deletion {
  const { key } = stored
  const same = { key, because, versions: versionsOf(stored), bytes: bytesOf(stored) }
  if ('id' in account) {
    return { ...same, kind: account.isManifest ? 'manifest' : 'part', id: account.id, timeline: null }
  }
  const { kind, timeline } = account
  return { ...same, kind, id: null, timeline }
}
