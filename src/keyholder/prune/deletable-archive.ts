import {
  DeleteObjectCommand,
  GetObjectLegalHoldCommand,
  GetObjectRetentionCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { PostboxError } from '../../errors.js'
import { listKeys, openArchive, type Archive, type ArchiveOptions } from '../archive.js'
import { asking } from '../ask-archive.js'
import type { StoredKey } from '../object-versions.js'
import { putJson } from '../put-json.js'

/** One version of a key, or a delete marker. */
export interface KeyVersion {
  key: string
  /** null where the bucket keeps no versions */
  versionId: string | null
}

/** The archive for who may delete from it. */
export interface DeletableArchive extends Archive {
  /** Keys under `prefix` in their order with all versions, those under a delete marker too. */
  keys(prefix: string): AsyncGenerator<StoredKey>
  /** Deletes one version for good. One that is gone already is no error; returns why it stays where it is locked. */
  remove(version: KeyVersion): Promise<'removed' | Retained>
  /** Whether Object Lock holds a version; null also where the S3 key may not ask. */
  retention(version: KeyVersion): Promise<Retained | null>
  /** Stores an object. */
  put(key: string, content: Buffer): Promise<void>
  /** The time, as the archive's clock shows it as far as that is known. */
  now(): Date
}

/** Why a version cannot be deleted: a phrase. */
export interface Retained {
  retained: string
}

/** Whoever opened `s3` destroys it. */
export function openDeletableArchive(s3: S3Client, bucket: string, options: ArchiveOptions = {}): DeletableArchive {
  const named = ({ key, versionId }: KeyVersion) => ({
    Bucket: bucket,
    Key: key,
    ...(versionId === null ? {} : { VersionId: versionId }),
  })

  async function retention(version: KeyVersion): Promise<Retained | null> {
    if (version.versionId === null) return null
    const now = Date.now() + s3.config.systemClockOffset
    // Without a lock services answer with errors of many names; without the right to ask with another.
    const { Retention } = await s3
      .send(new GetObjectRetentionCommand(named(version)))
      .catch(() => ({ Retention: null }))
    const until = Retention?.RetainUntilDate
    if (until && until.getTime() > now) return { retained: `Object Lock until ${until.toISOString()}` }
    const { LegalHold } = await s3
      .send(new GetObjectLegalHoldCommand(named(version)))
      .catch(() => ({ LegalHold: null }))
    return LegalHold?.Status === 'ON' ? { retained: 'a legal hold' } : null
  }

  async function remove(version: KeyVersion): Promise<'removed' | Retained> {
    const doing = `deleting ${version.key}`
    const command = new DeleteObjectCommand(named(version))
    try {
      await asking(bucket, doing, options, ({ signal }) => s3.send(command, { abortSignal: signal }))
    } catch (thrown) {
      if (!(thrown instanceof PostboxError)) throw thrown
      if (thrown.code === 'object_missing') return 'removed'
      if (thrown.code !== 'archive_refused') throw thrown
      const lock = await retention(version)
      if (lock) return lock
      throw notAllowed(thrown)
    }
    return 'removed'
  }

  async function put(key: string, content: Buffer): Promise<void> {
    const command = putJson(bucket, key, content)
    try {
      await asking(bucket, `storing ${key}`, options, ({ signal }) => s3.send(command, { abortSignal: signal }))
    } catch (thrown) {
      throw thrown instanceof PostboxError && thrown.code === 'archive_refused' ? notAllowed(thrown) : thrown
    }
  }

  return {
    ...openArchive(s3, bucket, options),
    keys: (prefix) => listKeys(s3, bucket, options, prefix),
    remove,
    retention,
    put,
    now: () => new Date(Date.now() + s3.config.systemClockOffset),
  }
}

/** Versions of a key in the order in which they are to be deleted: markers last, so that nothing deleted comes back. */
export function versionsOf({ key, versions, markers }: StoredKey): KeyVersion[] {
  const alone = versions.length === 1 && markers.length === 0 && versions[0]!.VersionId === 'null'
  if (alone) return [{ key, versionId: null }]
  return [...versions.toReversed(), ...markers].map(({ VersionId }) => ({ key, versionId: VersionId ?? null }))
}

function notAllowed(thrown: PostboxError): PostboxError {
  const hint =
    'To prune, the S3 key needs s3:DeleteObject, s3:DeleteObjectVersion and s3:GetObjectRetention, and s3:PutObject below .postbox/.'
  return new PostboxError('archive_refused', thrown.message, hint, { cause: thrown.cause })
}
