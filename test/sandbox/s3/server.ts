import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { randomBytes } from 'node:crypto'
import { answer, type ServerState } from './answer.js'
import { Faults, type FaultRule } from './faults.js'
import { Bucket, type BucketSetup } from './store.js'
import { makeCertificate } from './tls.js'

/** A request as the server saw it. */
export interface RequestRecord {
  op: string
  method: string
  bucket: string
  /** null while it is not known, as of a form whose fields did not arrive */
  key: string | null
  /** null: no answer was given */
  status: number | null
  /** of the body that arrived */
  bytes: number
  /** the fault that fell on it */
  fault: string | null
  headers: IncomingMessage['headers']
  at: Date
}

export interface S3Options {
  buckets: readonly BucketSetup[]
  tls?: boolean
  accessKey?: string
  secretKey?: string
}

/** A strict S3 in memory on loopback, for tests. */
export interface LocalS3 {
  endpoint: string
  /** the same server at a second port, to be redirected to */
  otherEndpoint: string
  region: 'us-east-1'
  accessKey: string
  secretKey: string
  /** the certificate to trust, null without TLS */
  caFile: string | null
  ca: Buffer | null
  /** stored objects, for asserts and for damage */
  bucket(name: string): Bucket
  /** every request so far, oldest first */
  requests: RequestRecord[]
  /** makes matching requests fail; the answer undoes it */
  fail(rule: FaultRule): () => void
  /** sets this server's clock ahead (or back) of ours */
  shiftClock(minutes: number): void
  /** how old a form's x-amz-date may be, as some services ask; null as AWS */
  limitFormAge(ms: number | null): void
  close(): Promise<void>
}

/** Starts a local S3 that checks signatures, policies and checksums as AWS does, and fails when told to. */
export async function startS3(options: S3Options): Promise<LocalS3> {
  const certificate = options.tls ? await makeCertificate() : null
  const state: ServerState = {
    buckets: new Map(options.buckets.map((setup) => [setup.name, new Bucket(setup)])),
    keys: {
      accessKey: options.accessKey ?? 'POSTBOXTESTKEY000001',
      secretKey: options.secretKey ?? randomBytes(20).toString('hex'),
      region: 'us-east-1',
    },
    faults: new Faults(),
    requests: [],
    clockShiftMs: 0,
    formAgeMs: null,
  }
  const handle = (request: IncomingMessage, response: ServerResponse): void => void answer(state, request, response)
  const servers = [0, 1].map(() => (certificate ? https.createServer(certificate, handle) : http.createServer(handle)))
  const [endpoint, otherEndpoint] = await Promise.all(servers.map((server) => listen(server, certificate !== null)))
  return {
    endpoint: endpoint!,
    otherEndpoint: otherEndpoint!,
    region: 'us-east-1',
    accessKey: state.keys.accessKey,
    secretKey: state.keys.secretKey,
    caFile: certificate?.caFile ?? null,
    ca: certificate?.cert ?? null,
    requests: state.requests,
    bucket: (name) => existing(state.buckets, name),
    fail: (rule) => state.faults.add(rule),
    shiftClock: (minutes) => void (state.clockShiftMs = minutes * 60_000),
    limitFormAge: (ms) => void (state.formAgeMs = ms),
    close: async () => {
      await Promise.all(servers.map(close))
      await certificate?.remove()
    },
  }
}

async function listen(server: http.Server, tls: boolean): Promise<string> {
  // A broken client is that client's affair.
  server.on('clientError', (_, socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http${tls ? 's' : ''}://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function close(server: http.Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}

function existing(buckets: Map<string, Bucket>, name: string): Bucket {
  const bucket = buckets.get(name)
  if (!bucket) throw new Error(`the local S3 has no bucket ${name}`)
  return bucket
}
