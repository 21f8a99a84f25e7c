import type { CompletedCommand, CompletedOption, Place } from './completion-tree.js'

/** A script for fish: postbox completion fish | source, or a file in ~/.config/fish/completions. */
export function fishCompletion(tree: readonly CompletedCommand[]): string {
  const lines = tree.flatMap(({ name, description, options, operand }) => [
    `complete -c postbox -n __fish_use_subcommand -f -a ${name} -d ${quoted(description)}`,
    ...options.map((option) => optionLine(name, option)),
    `complete -c postbox -n ${quoted(seen(name))}${place(operand)}`,
  ])
  return `# fish completion for postbox: postbox completion fish | source\n${lines.join('\n')}\n`
}

const seen = (name: string): string => `__fish_seen_subcommand_from ${name}`

function optionLine(command: string, { names, description, value }: CompletedOption): string {
  const flags = names.map((name) => (name.startsWith('--') ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`)).join('')
  const rest = value.kind === 'none' ? '' : ` -r${place(value)}`
  return `complete -c postbox -n ${quoted(seen(command))}${flags}${rest} -d ${quoted(description)}`
}

function place(one: Place): string {
  switch (one.kind) {
    case 'choice':
      return ` -f -a ${quoted(one.choices.join(' '))}`
    case 'file':
      return ' -F'
    case 'directory':
      return " -f -a '(__fish_complete_directories)'"
    default:
      return ' -f'
  }
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
