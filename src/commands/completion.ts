import { Argument, Command } from 'commander'
import { bashCompletion } from './completion-bash.js'
import { fishCompletion } from './completion-fish.js'
import { completionTree } from './completion-tree.js'
import { zshCompletion } from './completion-zsh.js'

const help = `
Examples, each a line for the file that your shell reads at its start:
  $ source <(postbox completion bash)
  $ source <(postbox completion zsh)
  $ postbox completion fish | source

It completes commands, options, their choices, and files. It asks no database and no bucket.`

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion }

/** `postbox completion`: prints a script by which a shell completes what is typed. */
export function completionCommand(): Command {
  return new Command('completion')
    .addArgument(new Argument('<shell>', 'for which shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', help)
    .action(async (shell: keyof typeof SCRIPTS) => {
      process.stdout.write(SCRIPTS[shell](await completionTree()))
    })
}
