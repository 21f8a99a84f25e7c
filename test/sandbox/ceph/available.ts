import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDir } from '../binaries.js'
import { run } from '../run.js'

const PROGRAMS = ['ceph', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin', 'curl']
const PATH = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin']

/**
 * Whether tests against Ceph can run here; installs Debian's packages where we may (as root; in CI through sudo too).
 *
 * POSTBOX_TEST_CEPH=0 says no, POSTBOX_TEST_CEPH=1 says that it must be possible, as CI does: then it throws where it is not.
 */
export async function cephAvailable(): Promise<boolean> {
  if (await installed()) return true
  const { CI, POSTBOX_TEST_CEPH: wanted } = process.env
  const required = wanted === '1' || (CI !== undefined && CI !== '' && CI !== 'false')
  if (!required && wanted === '0') return skipped('POSTBOX_TEST_CEPH is 0')
  if (!required && process.getuid!() !== 0) return skipped('it is not installed, and only root could do that')
  try {
    await run(join(import.meta.dirname, 'install.sh'), [join(await cacheDir(), 'ceph-install.lock')])
  } catch (cause) {
    if (required) throw new Error('Ceph is required here and could not be installed', { cause })
    return skipped(`it could not be installed: ${(cause as Error).message}`)
  }
  return true
}

async function installed(): Promise<boolean> {
  const found = await Promise.all(PROGRAMS.map(onPath))
  return found.every(Boolean)
}

async function onPath(program: string): Promise<boolean> {
  const tries = PATH.map((directory) => access(join(directory, program), constants.X_OK))
  return Promise.any(tries).then(
    () => true,
    () => false,
  )
}

function skipped(reason: string): false {
  process.stderr.write(
    `\n*** SKIPPED: the tests against Ceph, a real S3 server, do not run: ${reason}.\n` +
      `*** Install Debian's ceph-common, ceph-mon, ceph-osd and radosgw (test/sandbox/ceph/install.sh).\n\n`,
  )
  return false
}
