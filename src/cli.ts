import { constants } from 'node:os'
import { Command, CommanderError } from 'commander'
import { commands, examplesHelp, type CommandEntry } from './commands/registry.js'
import { interruptExitCode } from './commands/interrupt.js'
import { describeFailure } from './commands/failure.js'
import { PostboxError } from './errors.js'
import { version } from './version.js'

const args = process.argv.slice(2)
const entry = requestedCommand(args)

// A defect in a callback ends the process like any other failure: with the exit code that the command promises.
process.on('uncaughtException', fail)
// "postbox list | head" closes our standard output early: end as other programs do, and never with 0.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' && entry?.failureExitCode === undefined) process.exit(128 + constants.signals.SIGPIPE)
  fail(error)
})

const program = new Command('postbox')
  .description('PostgreSQL backups to S3 without an S3 key on the database server')
  .version(version)
  .exitOverride()
  // The one error line is written by fail().
  .configureOutput({ outputError: () => undefined })
  .addHelpText('after', examplesHelp())

try {
  for (const one of commands) {
    // Only what was asked for is loaded: fetch-wal must start fast, and the worker must not load the AWS SDK.
    const command = one === entry ? await loadCommand(one) : new Command(one.name)
    program.addCommand(command.description(one.description).copyInheritedSettings(program))
  }
  await program.parseAsync(args, { from: 'user' })
} catch (error) {
  fail(error)
}

/** Throws `not_installed` where only one side's part of Postbox is, as in the worker's image. */
async function loadCommand(one: CommandEntry): Promise<Command> {
  try {
    return await one.load()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new PostboxError(
      'not_installed',
      `"postbox ${one.name}" is not part of this installation`,
      "Commands that need an S3 key are in the keyholder's image, or in a whole installation.",
      { cause },
    )
  }
}

/** The command that the line names, `postbox help grant` included. No option before it takes a value. */
function requestedCommand(line: readonly string[]): CommandEntry | undefined {
  const words = line.filter((word) => !word.startsWith('-'))
  const name = words[0] === 'help' ? words[1] : words[0]
  return commands.find((one) => one.name === name)
}

/** Says what went wrong in one line and a hint, and ends the process. Exit code: 2 for a wrong line, else 1. */
function fail(thrown: unknown): never {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) process.exit(0)
  const helpShown = thrown instanceof CommanderError && thrown.code === 'commander.help'
  if (!helpShown) process.stderr.write(describeFailure(thrown, args.includes('--json')))
  if (thrown instanceof CommanderError && thrown.code === 'commander.unknownCommand') {
    process.stderr.write('\n')
    program.outputHelp({ error: true })
  }
  const usual = interruptExitCode() ?? (thrown instanceof CommanderError ? 2 : 1)
  process.exit(entry?.failureExitCode ?? (process.exitCode || usual))
}
