import { readFileSync } from 'node:fs'
import { Server } from 'node:https'
import { createSecureContext } from 'node:tls'
import { Command, Option } from 'commander'
import type { FastifyInstance } from 'fastify'
import { stringify } from 'yaml'
import { checkServerName } from '../box/server-name.js'
import { issuerConfig } from '../config.js'
import { asPostboxError, PostboxError } from '../errors.js'
import { IssuerCounts } from '../keyholder/issuer-counts.js'
import { createIssuer, proveSigning } from '../keyholder/issuer.js'
import { openKnownServers } from '../keyholder/known-servers.js'
import { isLoopback, parseListenAddress, type ListenAddress } from '../observe/listen-address.js'
import { openObserveServer } from '../observe/observe-server.js'
import { openS3 } from '../keyholder/s3-client.js'
import { hashToken, newToken } from '../keyholder/token.js'
import { createLog, type Logger } from '../log.js'
import { interruptSignal } from './interrupt.js'

interface IssuerCommandOptions {
  listen: ListenAddress
  tlsCert?: string
  tlsKey?: string
  behindProxy?: true
  metricsListen?: ListenAddress
  newToken?: string
  json?: true
}

const help = `
Examples:
  Make a token for the server db1; only its SHA-256 goes into keyholder.yaml:
  $ postbox issuer --new-token db1

  Serve grants, with the S3 keys of the AWS SDK's usual chain:
  $ POSTBOX_BUCKET=acme-backups postbox issuer --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem

keyholder.yaml is read again when it changes, and a renewed certificate on SIGHUP.`

/** `postbox issuer`: the HTTP service that signs grants, or a new token for it. */
export function issuerCommand(): Command {
  return new Command('issuer')
    .addOption(
      new Option('--listen <address>', 'where to listen')
        .argParser(parseListenAddress)
        .default({ host: '127.0.0.1', port: 8443 }, '127.0.0.1:8443'),
    )
    .option('--tls-cert <file>', 'certificate chain (PEM)')
    .option('--tls-key <file>', "the certificate's private key (PEM)")
    .option('--behind-proxy', 'plain HTTP on any address: a proxy in front does TLS')
    .addOption(
      new Option(
        '--metrics-listen <address>',
        'where to serve /metrics, /healthz and /readyz (default: nowhere)',
      ).argParser(parseListenAddress),
    )
    .option('--new-token <server>', 'print a fresh token for this server, and its lines for keyholder.yaml')
    .option('--json', 'with --new-token: print JSON')
    .addHelpText('after', help)
    .action(async (options: IssuerCommandOptions) => {
      if (options.newToken !== undefined) printToken(checkServerName(options.newToken), options.json ?? false)
      else await serve(options)
    })
}

function printToken(server: string, json: boolean): void {
  const token = newToken()
  const tokenSha256 = hashToken(token).toString('hex')
  if (json) {
    process.stdout.write(JSON.stringify({ server, token: token.reveal(), token_sha256: tokenSha256 }) + '\n')
    return
  }
  const entry = { token_sha256: tokenSha256, grant_life: '12h', max_part_bytes: '64MiB' }
  process.stdout.write(
    `# For the worker of ${server}, as POSTBOX_ISSUER_TOKEN. It is kept nowhere and not shown again:\n` +
      `${token.reveal()}\n\n# For keyholder.yaml:\n${stringify({ servers: { [server]: entry } })}`,
  )
}

async function serve(options: IssuerCommandOptions): Promise<void> {
  const config = issuerConfig()
  const stop = interruptSignal()
  const log = createLog(config.logLevel)
  const tls = readTls(options)
  const { listen } = options
  checkPrivate(listen, tls !== undefined, options.behindProxy ?? false)
  const servers = await openKnownServers(config.keyholderFile, log)
  const s3 = openS3(config)
  const counts = new IssuerCounts()
  const { bucket } = config
  const app = createIssuer({ s3, bucket, servers, log, tls, counts })
  const renew = (): void => {
    renewCertificate(app, options, log)
  }
  process.on('SIGHUP', renew)
  const observed = options.metricsListen && (await observe(options.metricsListen, counts, { s3, bucket }))
  try {
    await listenOn(app, listen)
    log.info({ listen: app.server.address(), tls: tls !== undefined, bucket: config.bucket }, 'issuer ready')
    await aborted(stop)
    log.info('issuer stops')
  } finally {
    process.off('SIGHUP', renew)
    await app.close()
    await observed?.close()
    s3.destroy()
  }
}

/** Apart from the grants: whoever may ask for one need not see this. */
function observe(
  listen: ListenAddress,
  counts: IssuerCounts,
  signing: Parameters<typeof proveSigning>[0],
): Promise<FastifyInstance> {
  return openObserveServer({
    listen,
    readings: counts.readings(),
    health: () => ({ ok: true, problems: [] }),
    readiness: () =>
      proveSigning(signing).then(
        () => ({ ok: true, problems: [] }),
        (thrown: unknown) => ({ ok: false, problems: [asPostboxError(thrown).message] }),
      ),
  })
}

function readTls({ tlsCert, tlsKey }: IssuerCommandOptions): { cert: string; key: string } | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new PostboxError('bad_argument', '--tls-cert and --tls-key go together', 'Give both, or neither.')
  }
  try {
    const tls = { cert: readFileSync(tlsCert, 'utf8'), key: readFileSync(tlsKey, 'utf8') }
    createSecureContext(tls)
    return tls
  } catch (cause) {
    throw new PostboxError(
      'config_invalid',
      `${tlsCert} and ${tlsKey} cannot be used: ${(cause as Error).message}`,
      'Both must be PEM files that this user may read, and belong to each other.',
      { cause },
    )
  }
}

/** A certificate that cannot be used leaves the old one in its place. */
function renewCertificate(app: FastifyInstance, options: IssuerCommandOptions, log: Logger): void {
  try {
    const tls = readTls(options)
    if (!tls || !(app.server instanceof Server)) return
    app.server.setSecureContext({ ...tls, minVersion: 'TLSv1.2' })
    log.info('certificate read again')
  } catch (error) {
    log.error({ err: error }, 'the certificate stays as before')
  }
}

function checkPrivate(listen: ListenAddress, tls: boolean, behindProxy: boolean): void {
  if (tls || behindProxy || isLoopback(listen)) return
  throw new PostboxError(
    'bad_argument',
    `without TLS the issuer does not listen on ${listen.host}: tokens and grants would pass in clear`,
    'Give --tls-cert and --tls-key, or say --behind-proxy when something in front does TLS.',
  )
}

async function listenOn(app: FastifyInstance, { host, port }: ListenAddress): Promise<void> {
  try {
    await app.listen({ host, port })
  } catch (cause) {
    throw new PostboxError(
      'config_invalid',
      `cannot listen on ${host}:${port}: ${(cause as Error).message}`,
      'Choose a free address of this machine with --listen.',
      { cause },
    )
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve()
      },
      { once: true },
    )
  })
}
