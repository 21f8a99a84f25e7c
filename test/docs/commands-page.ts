import { Command } from 'commander'
import { commands } from '../../src/commands/registry.js'
import { code, MADE, markdownTable, plain } from './markdown.js'

const HEAD = `${MADE}
# Commands

\`postbox --help\` shows them, \`postbox COMMAND --help\` what follows here. Every command ends with 0 only when it has
succeeded; a wrong line ends with 2, a failure with 1 (\`fetch-wal\`: 255) and one line with a hint. \`--json\` prints what a program can read.
`

/** docs/reference/commands.md, from the commands themselves. */
export async function commandsPage(): Promise<string> {
  const list = commands.map(({ name, description }) => [`[${name}](#postbox-${name})`, plain(description)])
  const sections: string[] = []
  for (const { name, description, example, load } of commands) {
    const command = (await load()).description(description)
    new Command('postbox').addCommand(command)
    sections.push(
      [`## postbox ${name}`, `Such as ${code(example)}`, `\`\`\`text\n${helpOf(command)}\`\`\``, ''].join('\n\n'),
    )
  }
  return [HEAD, markdownTable(['command', 'what it does'], list), '', ...sections].join('\n')
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
