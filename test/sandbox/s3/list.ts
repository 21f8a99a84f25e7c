import { element, escapeXml, S3Error, XML_HEAD } from './errors.js'
import type { Bucket, Version } from './store.js'

const MAX_KEYS = 1000
const NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
/** After every key with a given prefix; no key holds it. */
const LAST = '\uffff'

/** S3 lists times to the second, so a reader must not count on more. */
const listedTime = (at: Date): string => `${at.toISOString().slice(0, 19)}.000Z`

interface Query {
  prefix: string
  delimiter: string
  maxKeys: number
  encode: (text: string) => string
  /** whether the answer says that names are encoded */
  url: boolean
}

function readQuery(query: URLSearchParams): Query {
  const maxKeys = Number(query.get('max-keys') ?? MAX_KEYS)
  if (!Number.isInteger(maxKeys) || maxKeys < 0) {
    throw new S3Error(400, 'InvalidArgument', 'Provided max-keys not an integer or within integer range')
  }
  const url = query.get('encoding-type') === 'url'
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    maxKeys: Math.min(maxKeys, MAX_KEYS),
    url,
    encode: url ? (text) => encodeURIComponent(text).replaceAll('%2F', '/') : escapeXml,
  }
}

/** The folder that a key is folded into, or null when it is listed by itself. */
function commonPrefix(key: string, { prefix, delimiter }: Query): string | null {
  if (delimiter === '') return null
  const at = key.indexOf(delimiter, prefix.length)
  return at < 0 ? null : key.slice(0, at + delimiter.length)
}

/** ListObjectsV2: current objects under a prefix, after a key, folders folded together. */
export function listObjects(bucket: Bucket, parameters: URLSearchParams): string {
  const query = readQuery(parameters)
  const token = parameters.get('continuation-token')
  const after = token === null ? (parameters.get('start-after') ?? '') : Buffer.from(token, 'base64url').toString()
  const contents: string[] = []
  const folders: string[] = []
  let last = after
  let truncated = false
  // A folder is passed in one step, however many keys it holds.
  for (let at = bucket.position(startOf(after, query)); at < bucket.allKeys.length;) {
    const key = bucket.allKeys[at]!
    if (!key.startsWith(query.prefix)) break
    const version = bucket.current(key)
    const folder = commonPrefix(key, query)
    if (!version?.bytes || key <= after) {
      at++
      continue
    }
    if (contents.length + folders.length >= query.maxKeys) {
      truncated = query.maxKeys > 0
      break
    }
    if (folder === null) contents.push(contentsXml(key, version, query))
    else folders.push(folder)
    last = folder ?? key
    at = folder === null ? at + 1 : bucket.position(folder + LAST)
  }
  const next = truncated ? element('NextContinuationToken', Buffer.from(last).toString('base64url')) : ''
  return (
    `${XML_HEAD}<ListBucketResult ${NAMESPACE}>${header(bucket, query)}${element('KeyCount', contents.length + folders.length)}` +
    `${element('IsTruncated', truncated)}${next}${contents.join('')}${foldersXml(folders, query)}</ListBucketResult>`
  )
}

/** ListObjectVersions: every version, newest first within a key. */
export function listVersions(bucket: Bucket, parameters: URLSearchParams): string {
  const query = readQuery(parameters)
  const keyMarker = parameters.get('key-marker') ?? ''
  const versionMarker = parameters.get('version-id-marker')
  if (versionMarker !== null && keyMarker === '') {
    throw new S3Error(400, 'InvalidArgument', 'A version-id marker cannot be specified without a key marker.')
  }
  const entries: string[] = []
  const folders: string[] = []
  let last: { key: string; versionId: string | null } = { key: keyMarker, versionId: null }
  let truncated = false
  scan: for (let at = bucket.position(startOf(keyMarker, query)); at < bucket.allKeys.length;) {
    const key = bucket.allKeys[at]!
    if (!key.startsWith(query.prefix)) break
    const folder = commonPrefix(key, query)
    if (key < keyMarker || (key === keyMarker && (versionMarker === null || folder !== null))) {
      at++
      continue
    }
    const versions = bucket.versions(key)
    const first = key === keyMarker ? versions.findIndex(({ versionId }) => versionId === versionMarker) + 1 : 0
    for (const version of folder === null ? versions.slice(first) : [null]) {
      if (entries.length + folders.length >= query.maxKeys) {
        truncated = query.maxKeys > 0
        break scan
      }
      if (version === null) folders.push(folder!)
      else entries.push(versionXml(key, version, version === versions[0], query))
      last = { key: folder ?? key, versionId: version?.versionId ?? null }
    }
    at = folder === null ? at + 1 : bucket.position(folder + LAST)
  }
  const nextVersion = last.versionId === null ? '' : element('NextVersionIdMarker', last.versionId)
  const next = truncated ? `<NextKeyMarker>${query.encode(last.key)}</NextKeyMarker>${nextVersion}` : ''
  return (
    `${XML_HEAD}<ListVersionsResult ${NAMESPACE}>${header(bucket, query)}<KeyMarker>${query.encode(keyMarker)}</KeyMarker>` +
    `${element('IsTruncated', truncated)}${next}${entries.join('')}${foldersXml(folders, query)}</ListVersionsResult>`
  )
}

/** Where a listing begins to look: behind the marker, behind its whole folder when it names one. */
function startOf(marker: string, query: Query): string {
  if (marker < query.prefix) return query.prefix
  const folded = query.delimiter !== '' && marker.startsWith(query.prefix) && marker.endsWith(query.delimiter)
  return folded && marker.length > query.prefix.length ? marker + LAST : marker
}

function header(bucket: Bucket, query: Query): string {
  const delimiter = query.delimiter === '' ? '' : `<Delimiter>${query.encode(query.delimiter)}</Delimiter>`
  const encoding = query.url ? element('EncodingType', 'url') : ''
  return `${element('Name', bucket.name)}${encoding}<Prefix>${query.encode(query.prefix)}</Prefix>${delimiter}${element('MaxKeys', query.maxKeys)}`
}

const foldersXml = (folders: string[], query: Query): string =>
  folders.map((folder) => `<CommonPrefixes><Prefix>${query.encode(folder)}</Prefix></CommonPrefixes>`).join('')

const objectXml = (version: Version): string =>
  `${element('LastModified', listedTime(version.storedAt))}${element('ETag', `"${version.md5}"`)}${element('Size', version.bytes!.length)}${element('StorageClass', 'STANDARD')}`

const contentsXml = (key: string, version: Version, query: Query): string =>
  `<Contents><Key>${query.encode(key)}</Key>${objectXml(version)}</Contents>`

function versionXml(key: string, version: Version, latest: boolean, query: Query): string {
  const name = `<Key>${query.encode(key)}</Key>${element('VersionId', version.versionId)}${element('IsLatest', latest)}`
  const owner = '<Owner><ID>local</ID></Owner>'
  if (version.bytes) return `<Version>${name}${objectXml(version)}${owner}</Version>`
  return `<DeleteMarker>${name}${element('LastModified', listedTime(version.storedAt))}${owner}</DeleteMarker>`
}
