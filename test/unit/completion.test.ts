import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bashCompletion } from '../../src/commands/completion-bash.js'
import { fishCompletion } from '../../src/commands/completion-fish.js'
import { completionTree } from '../../src/commands/completion-tree.js'
import { zshCompletion } from '../../src/commands/completion-zsh.js'
import { commands } from '../../src/commands/registry.js'
import { bareEnvironment, runPostbox } from '../sandbox/postbox.js'
import { removeScratch, scratchDir } from '../sandbox/scratch.js'

const installed = (shell: string) => ['/bin', '/usr/bin', '/usr/local/bin'].some((dir) => existsSync(join(dir, shell)))

describe('postbox completion', () => {
  let scratch: string
  let scripts: Record<string, string>

  beforeAll(async () => {
    scratch = await scratchDir('completion')
    const tree = await completionTree()
    scripts = { bash: bashCompletion(tree), zsh: zshCompletion(tree), fish: fishCompletion(tree) }
    for (const [shell, script] of Object.entries(scripts)) await writeFile(join(scratch, `postbox.${shell}`), script)
    await mkdir(join(scratch, 'data dir'))
    await writeFile(join(scratch, 'drill.sql'), '')
  })
  afterAll(() => removeScratch(scratch))

  /** What bash offers for the last of these words. */
  async function offered(...words: string[]): Promise<string[]> {
    const script = `source ./postbox.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _postbox; printf '%s\\n' "\${COMPREPLY[@]}"`
    const options = { cwd: scratch, env: bareEnvironment }
    const { stdout } = await promisify(execFile)('bash', ['--norc', '-c', script, 'bash', ...words], options)
    return stdout.split('\n').filter((word) => word !== '')
  }

  test('knows every command with its options', async () => {
    expect(await offered('postbox', '')).toEqual([...commands.map(({ name }) => name), 'help', '--help', '--version'])
    expect(await offered('postbox', 'restore')).toEqual(['restore', 'restore-dump'])
    expect(await offered('postbox', 'help', 'dri')).toEqual(['drill'])
    for (const { name, options } of await completionTree()) {
      const long = options.flatMap(({ names }) => names).filter((one) => one.startsWith('--'))
      expect(await offered('postbox', name, '--')).toEqual(long)
    }
  })

  test('offers choices where there are some, files and directories where these belong, else nothing', async () => {
    expect(await offered('postbox', 'restore', '--server', 'db1', '--target-action', 'p')).toEqual(['promote', 'pause'])
    expect(await offered('postbox', 'completion', '')).toEqual(['bash', 'zsh', 'fish'])
    expect(await offered('postbox', 'restore', '--data-dir', 'd')).toEqual(['data dir'])
    expect((await offered('postbox', 'drill', '--sql', 'd')).sort()).toEqual(['data dir', 'drill.sql'])
    expect(await offered('postbox', 'archive-wal', 'dr')).toEqual(['drill.sql'])
    expect(await offered('postbox', 'grant', '--server', '')).toEqual([])
    expect(await offered('postbox', 'no-such-command', '')).toEqual([])
  })

  test.each(['bash', 'zsh', 'fish'].filter(installed))('gives %s a script that it can read', async (shell) => {
    await promisify(execFile)(shell, ['-n', join(scratch, `postbox.${shell}`)])
  })

  test('has every command in the scripts of the others, too', () => {
    for (const shell of ['zsh', 'fish']) {
      for (const { name } of commands) expect(scripts[shell]).toMatch(new RegExp(`(^|\\s|')${name}[:\\s]`, 'm'))
    }
  })

  test('prints the script', async () => {
    expect(await runPostbox(['completion', 'bash'])).toEqual({ code: 0, stdout: scripts['bash'], stderr: '' })
  })

  test('of an unknown shell is refused', async () => {
    expect(await runPostbox(['completion', 'csh'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('bash') as string,
    })
  })
})
