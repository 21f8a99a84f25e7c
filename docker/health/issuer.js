// Health of the issuer's container: 0 when it signs, over TLS or, behind a proxy, without. An argument is the port, if not 8443.
import http from 'node:http'
import https from 'node:https'

const port = Number(process.argv[2] ?? 8443)

/** @param {typeof http | typeof https} protocol */
function ask(protocol) {
  return new Promise((resolve, reject) => {
    // It is ourselves: the certificate has the name by which others know us.
    const options = { host: '127.0.0.1', port, path: '/health', timeout: 8000, rejectUnauthorized: false }
    const request = protocol.get(options, (answer) => {
      answer.setEncoding('utf8').on('error', reject)
      let body = ''
      answer.on('data', (text) => (body += text)).on('end', () => resolve({ status: answer.statusCode, body }))
    })
    request.on('timeout', () => request.destroy(new Error('no answer for 8 s'))).on('error', reject)
  })
}

const { status, body } = await ask(https).catch((error) =>
  error.code === 'EPROTO' ? ask(http) : Promise.reject(error),
)
process.stdout.write(`${status} ${body}\n`)
process.exitCode = status === 200 ? 0 : 1
