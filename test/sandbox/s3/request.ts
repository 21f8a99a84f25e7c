import type { IncomingMessage } from 'node:http'
import { Body } from './body.js'
import { S3Error } from './errors.js'
import type { Fault } from './faults.js'
import type { Keys } from './signature.js'
import type { Bucket } from './store.js'

/** What is asked of which bucket and key. Path style only. */
export interface Target {
  /** as in the AWS SDK: `PostObject`, `GetObject`, … */
  op: string
  method: string
  bucket: string
  key: string
  query: URLSearchParams
}

/** An answer, before it is written. */
export interface Reply {
  status: number
  headers: Record<string, string>
  body: Buffer | string
}

/** One request and everything that an operation needs to answer it. */
export interface Exchange {
  target: Target
  request: IncomingMessage
  body: () => Body
  keys: Keys
  /** this server's time, which tests may shift */
  now: Date
  buckets: Map<string, Bucket>
  /** how old a form's x-amz-date may be, as some services ask; null as AWS */
  formAgeMs: number | null
  /** takes the faults that name this key; called once the key of a POST is known */
  keyKnown: (key: string) => Promise<void>
  fault: () => Fault | null
  /** to be called right before anything is changed: may cut the connection */
  beforeStore: () => void
}

const BUCKET_OPS: Record<string, Record<string, string>> = {
  GET: {
    'list-type': 'ListObjectsV2',
    versions: 'ListObjectVersions',
    versioning: 'GetBucketVersioning',
    location: 'GetBucketLocation',
    'object-lock': 'GetObjectLockConfiguration',
  },
  POST: { delete: 'DeleteObjects', '': 'PostObject' },
  PUT: { '': 'CreateBucket' },
  HEAD: { '': 'HeadBucket' },
}

const KEY_OPS: Record<string, Record<string, string>> = {
  GET: { retention: 'GetObjectRetention', '': 'GetObject' },
  HEAD: { '': 'HeadObject' },
  PUT: { '': 'PutObject' },
  DELETE: { '': 'DeleteObject' },
}

/** Sub-resources that change what a request means; any that is not known is refused rather than overlooked. */
const SUB_RESOURCES = [
  'list-type',
  'versions',
  'versioning',
  'location',
  'object-lock',
  'delete',
  'retention',
  'acl',
  'policy',
  'uploads',
  'uploadId',
  'tagging',
  'legal-hold',
  'attributes',
  'lifecycle',
  'encryption',
  'select',
  'restore',
]

/** Reads bucket, key and operation from method and URL. */
export function readTarget(method: string, url: string): Target {
  const [path = '/', search = ''] = url.split(/\?(.*)/s)
  const query = new URLSearchParams(search)
  const [, bucket = '', key = ''] = /^\/([^/]*)\/?(.*)$/s.exec(path) ?? []
  const sub = SUB_RESOURCES.find((name) => query.has(name)) ?? ''
  const ops = bucket === '' ? { GET: { '': 'ListBuckets' } } : key === '' ? BUCKET_OPS : KEY_OPS
  const op = (ops as typeof BUCKET_OPS)[method]?.[sub] ?? 'Unknown'
  const decoded = decodeKey(key)
  return { op: decoded === null ? 'Unknown' : op, method, bucket, key: decoded ?? key, query }
}

function decodeKey(key: string): string | null {
  try {
    return decodeURIComponent(key)
  } catch {
    return null
  }
}

/** The declared length of a request's body; S3 does without only where no body is meant. */
export function contentLength(request: IncomingMessage): number {
  const length = request.headers['content-length']
  if (length === undefined) {
    throw new S3Error(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.')
  }
  return Number(length)
}
