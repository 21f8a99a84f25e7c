import { cp, readdir, readFile, symlink } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { removeScratch, scratchDir } from '../sandbox/postgres.js'
import { plainEnv, run } from '../sandbox/run.js'

const root = join(import.meta.dirname, '../..')
const CLONED = ['src', 'sql', 'migrations', 'docs', 'package.json', 'tsconfig.json', 'README.md', 'LICENSE']

/** The package as it is unpacked at who installs it. */
let installed: string
let files: string[]

// As in a fresh clone after "npm ci": there is no dist.
beforeAll(async () => {
  const clone = await scratchDir('clone')
  for (const part of CLONED) await cp(join(root, part), join(clone, part), { recursive: true })
  await symlink(join(root, 'node_modules'), join(clone, 'node_modules'))
  const env = {
    ...plainEnv,
    // npm may be anywhere.
    PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
    HOME: clone,
    npm_config_offline: 'true',
    npm_config_update_notifier: 'false',
  }
  await run('npm', ['pack', '--loglevel=error'], { cwd: clone, env })
  const tarball = (await readdir(clone)).find((name) => /^pg-postbox-.*\.tgz$/.test(name))!
  installed = await scratchDir('package')
  await run('tar', ['-xzf', join(clone, tarball), '-C', installed, '--strip-components=1'])
  files = (await readdir(installed, { recursive: true, withFileTypes: true }))
    .filter((one) => one.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(installed.length + 1))
  await symlink(join(root, 'node_modules'), join(installed, 'node_modules'))
})

afterAll(() => removeScratch())

test('a package that is packed from a fresh clone has the command, and it runs', async () => {
  const { bin, version } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as {
    bin: { postbox: string }
    version: string
  }
  const env = { ...plainEnv, PATH: `${dirname(process.execPath)}:${plainEnv.PATH}` }
  expect(await run(join(installed, bin.postbox), ['--version'], { env })).toBe(`${version}\n`)
})

test('the package has what its pages have a person copy, and nothing of the tests', () => {
  expect(files).toEqual(
    expect.arrayContaining([
      'dist/extension/postbox.control',
      'docs/iam/signer.json',
      'docs/prometheus-rules.yaml',
      'docs/systemd/postbox-worker-issuer.conf',
      'docs/systemd/postbox-worker.service',
      'src/box/FORMAT.md',
    ]),
  )
  expect(files.filter((name) => name.startsWith('test/') || name.endsWith('.test.js'))).toEqual([])
})

test('a link of a packaged page leads into the package, or where docs/README.md says that it does not', async () => {
  expect(await readFile(join(installed, 'docs/README.md'), 'utf8')).toContain(
    'Links to `src`, `test` and `docker` lead into the repository',
  )
  const pages = files.filter((name) => name.endsWith('.md'))
  const broken: string[] = []
  for (const page of pages) {
    const text = await readFile(join(installed, page), 'utf8')
    for (const [, link] of text.matchAll(/\]\(([^)\s#]+)[^)\s]*\)/g)) {
      const to = normalize(join(dirname(page), link!))
      const isKnown =
        /^[a-z]+:/.test(link!) ||
        /^(src|test|docker)\//.test(to) ||
        files.some((name) => `${name}/`.startsWith(`${to}/`))
      if (!isKnown) broken.push(`${page}: ${link}`)
    }
  }
  expect(broken).toEqual([])
  expect(pages.length).toBeGreaterThan(20)
})
