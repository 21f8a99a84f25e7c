import type { CompletedCommand, CompletedOption, Place } from './completion-tree.js'

/** A script for zsh: source it, or place it as _postbox in a folder of fpath. */
export function zshCompletion(tree: readonly CompletedCommand[]): string {
  return `#compdef postbox
# zsh completion for postbox: source <(postbox completion zsh)
_postbox() {
  local -a commands
  commands=(
${tree.map(({ name, description }) => `    ${quoted(`${name}:${description}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  (( CURRENT-- ))
  shift words
  case $command in
    help) _describe command commands ;;
${tree.map(branch).join('\n')}
  esac
}
if [[ $funcstack[1] == _postbox ]]; then _postbox "$@"; else compdef _postbox postbox; fi
`
}

function branch({ name, options, operand }: CompletedCommand): string {
  const specs = [...options.flatMap(optionSpecs), ...(operand.kind === 'none' ? [] : [`*:operand:${action(operand)}`])]
  return `    ${name}) _arguments ${specs.map(quoted).join(' ')} ;;`
}

function optionSpecs({ names, description, value }: CompletedOption): string[] {
  const meaning = description.replace(/[[\]:\\]/g, '\\$&')
  const rest = value.kind === 'none' ? '' : `:value:${action(value)}`
  return names.map((name) => `${name}[${meaning}]${rest}`)
}

function action(place: Place): string {
  switch (place.kind) {
    case 'choice':
      return `(${place.choices.join(' ')})`
    case 'file':
      return '_files'
    case 'directory':
      return '_files -/'
    default:
      return ' '
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
