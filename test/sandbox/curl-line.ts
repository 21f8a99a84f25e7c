import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect } from 'vitest'
import { runPostbox, type Ended } from './postbox.js'

/** An S3 server of the sandbox, as `postbox grant` must know it. */
export interface UploadTarget {
  endpoint: string
  caFile: string | null
  accessKey: string
  secretKey: string
}

/** What `postbox grant --server db1 --curl` prints for this bucket: one line, and no warning. */
export async function curlLine(s3: UploadTarget, args: readonly string[], bucket = 'acme'): Promise<string> {
  const { code, stdout, stderr } = await runPostbox(
    ['grant', '--server', 'db1', '--expires', '1h', '--curl', ...args],
    {
      env: {
        POSTBOX_BUCKET: bucket,
        POSTBOX_S3_ENDPOINT: s3.endpoint,
        ...(s3.caFile !== null && { POSTBOX_CA_FILE: s3.caFile }),
        AWS_ACCESS_KEY_ID: s3.accessKey,
        AWS_SECRET_ACCESS_KEY: s3.secretKey,
      },
    },
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout.trimEnd()).not.toContain('\n')
  return stdout
}

/** Runs the line as somebody would paste it: by the standard input of a shell, with a plain environment. */
export async function runInShell(line: string, shell = 'sh'): Promise<Ended> {
  const child = spawn(shell, [], { env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent' }, cwd: '/' })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  child.stdin.end(line)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...output }
}
