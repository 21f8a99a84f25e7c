import { execFileSync } from 'node:child_process'
import { accessSync, constants, readFileSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'

export interface SandboxUser {
  uid: number
  gid: number
}

const PREFERRED = ['postgres', 'nobody', 'daemon']

let found: SandboxUser | null | undefined

/** Who runs Postgres: null for ourselves, or an unprivileged user when we are root, as which Postgres refuses to run. */
export function sandboxUser(): SandboxUser | null {
  if (found === undefined) found = process.getuid!() === 0 ? unprivileged() : null
  return found
}

function unprivileged(): SandboxUser {
  const user = fromPasswd()
  if (user) return user
  execFileSync('useradd', ['--system', '--no-create-home', 'postbox-sandbox'])
  const made = fromPasswd()
  if (!made) throw new Error('no unprivileged user in /etc/passwd, and useradd made none: run the tests as non-root')
  return made
}

// initdb looks its user up by uid, so a number without a line in /etc/passwd will not do.
function fromPasswd(): SandboxUser | undefined {
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 7 && Number(fields[2]) > 0)
    .map((fields) => ({ name: fields[0]!, uid: Number(fields[2]), gid: Number(fields[3]) }))
  const preferred = PREFERRED.map((name) => users.find((user) => user.name === name)).find(Boolean)
  const user = preferred ?? users[0]
  return user && { uid: user.uid, gid: user.gid }
}

/** Whether the sandbox user can enter a directory and all above it. */
export function traversable(directory: string): boolean {
  const user = sandboxUser()
  if (!user) {
    try {
      accessSync(directory, constants.X_OK)
      return true
    } catch {
      return false
    }
  }
  for (let at = directory; ; at = dirname(at)) {
    const { mode, uid, gid } = statSync(at)
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (at === dirname(at)) return true
  }
}

// A unix socket's path ends at 107 bytes, and ours add about 40 to this one.
const MAX_TEMP_ROOT = 60

/** The temp dir, or /tmp where that one is too deep for unix sockets, has a space, or is closed to the sandbox user. */
export function tempRoot(): string {
  const root = tmpdir()
  return root.length <= MAX_TEMP_ROOT && !/\s/.test(root) && traversable(root) ? root : '/tmp'
}
