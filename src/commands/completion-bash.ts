import type { CompletedCommand, CompletedOption, Place } from './completion-tree.js'

/** A script for bash 4 or newer. No word in it comes from anywhere but the code, and none holds a blank or a quote. */
export function bashCompletion(tree: readonly CompletedCommand[]): string {
  const names = tree.map(({ name }) => name)
  return `# bash completion for postbox: source <(postbox completion bash)
_postbox_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_postbox_files() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen "$1" -- "$cur"); }
_postbox() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ \${COMP_WORDS[i]} == -* ]] || { command=\${COMP_WORDS[i]}; break; }
  done
  case $command in
    '') _postbox_words '${[...names, 'help', '--help', '--version'].join(' ')}' ;;
    help) _postbox_words '${names.join(' ')}' ;;
${tree.map(branch).join('\n')}
  esac
}
complete -F _postbox postbox
`
}

function branch({ name, options, operand }: CompletedCommand): string {
  const valued = options.filter(({ value }) => value.kind !== 'none')
  const words = options.flatMap(({ names }) => names).filter((one) => one.startsWith('--'))
  return [
    `    ${name})`,
    ...(valued.length === 0 ? [] : ['      case $prev in', ...valued.map(valueBranch), '      esac']),
    `      if [[ $cur == -* ]]; then _postbox_words '${words.join(' ')}'`,
    `      else ${operand.kind === 'none' ? `_postbox_words '${words.join(' ')}'` : fill(operand)}`,
    '      fi ;;',
  ].join('\n')
}

const valueBranch = ({ names, value }: CompletedOption): string =>
  `        ${names.join(' | ')}) ${fill(value)}; return ;;`

function fill(place: Place): string {
  switch (place.kind) {
    case 'choice':
      return `_postbox_words '${place.choices.join(' ')}'`
    case 'file':
      return '_postbox_files -f'
    case 'directory':
      return '_postbox_files -d'
    default:
      return ':'
  }
}
