import type { Argument, Command, Option } from 'commander'
import { commands } from './registry.js'

/** What may stand in a place of the line. */
export type Place = { kind: 'none' | 'text' | 'file' | 'directory' } | { kind: 'choice'; choices: readonly string[] }

export interface CompletedOption {
  /** such as --json, and -h */
  names: readonly string[]
  description: string
  /** what follows it; none for a flag */
  value: Place
}

export interface CompletedCommand {
  name: string
  description: string
  options: readonly CompletedOption[]
  /** what may stand where no option does */
  operand: Place
}

/** All that completion knows: what commander was told. Loads every command. */
export async function completionTree(): Promise<CompletedCommand[]> {
  const tree: CompletedCommand[] = []
  for (const { name, description, load } of commands) {
    // The worker's image has no commands of the keyholder.
    const command = await load().catch(absentAsNull)
    if (!command) continue
    const parts = [command, ...command.commands]
    tree.push({ name, description, options: parts.flatMap(optionsOf), operand: operandOf(command) })
  }
  return tree
}

function absentAsNull(thrown: unknown): null {
  if ((thrown as { code?: string }).code === 'ERR_MODULE_NOT_FOUND') return null
  throw thrown
}

function optionsOf(command: Command): CompletedOption[] {
  const help = { names: ['-h', '--help'], description: 'display help for command', value: { kind: 'none' } } as const
  const shown = command.options.filter(({ hidden }) => !hidden)
  return [...shown.map(completedOption), ...(command.parent === null ? [help] : [])]
}

function completedOption(option: Option): CompletedOption {
  const names = [option.short, option.long].filter((name) => name !== undefined)
  const takesValue = option.required || option.optional
  const placeholder = /[<[]([^>\]]*)/.exec(option.flags)?.[1] ?? ''
  return {
    names,
    description: option.description,
    value: takesValue ? place(placeholder, option.argChoices) : { kind: 'none' },
  }
}

function operandOf(command: Command): Place {
  if (command.commands.length > 0) return { kind: 'choice', choices: command.commands.map((one) => one.name()) }
  const first: Argument | undefined = command.registeredArguments[0]
  return first === undefined ? { kind: 'none' } : place(first.name(), first.argChoices)
}

/** `<dir>`, `<file>` and `<path>` are what they say. */
function place(placeholder: string, choices: readonly string[] | undefined): Place {
  if (choices) return { kind: 'choice', choices }
  if (/\bdir(ectory)?\b/.test(placeholder) && !placeholder.includes('=')) return { kind: 'directory' }
  return { kind: /\b(file|path)\b/.test(placeholder) ? 'file' : 'text' }
}
