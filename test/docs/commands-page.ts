import { Command } from 'commander'
import { commands } from '../../src/commands/registry.js'
import { code, MADE, markdownTable, plain } from './markdown.js'

const OWN_CODES = commands
  .flatMap(({ name, failureExitCode }) =>
    failureExitCode === undefined ? [] : `${code(name)} with ${failureExitCode}`,
  )
  .join(', ')

const HEAD = `${MADE}
# Commands

\`postbox --help\` shows them, \`postbox COMMAND --help\` what follows here. Every command ends with 0 only when it has
succeeded; a wrong line ends with 2, a failure with 1 and one line with a hint (either: ${OWN_CODES}). \`--json\` prints what a program can read.
`

/** docs/reference/commands.md, from the commands themselves. */
export async function commandsPage(): Promise<string> {
  const list = commands.map(({ name, description }) => [`[${name}](#postbox-${name})`, plain(description)])
  const sections: string[] = []
  const endings: string[][] = []
  for (const { name, description, example, load } of commands) {
    const command = (await load()).description(description)
    new Command('postbox').addCommand(command)
    const help = helpOf(command)
    sections.push([`## postbox ${name}`, `Such as ${code(example)}`, `\`\`\`text\n${help}\`\`\``, ''].join('\n\n'))
    const [, ends] = /^Exit codes: ([^]*?\.)(?= [A-Z]|$)/m.exec(help) ?? []
    if (ends !== undefined) endings.push([`[${name}](#postbox-${name})`, plain(ends.replace(/\s+/g, ' '))])
  }
  return [
    HEAD,
    markdownTable(['command', 'what it does'], list),
    '',
    markdownTable(['which says more', 'by its exit code'], endings),
    '',
    ...sections,
  ].join('\n')
}

/** All that --help prints. */
function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({
    writeOut: (piece) => (text += piece),
    getOutHelpWidth: () => 110,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  return text.replace(/[ \t]+$/gm, '')
}
