import { setTimeout as delay } from 'node:timers/promises'
import { Command } from 'commander'
import { findPrimary } from '../catalog/find-primary.js'
import { openJobList, type JobList, type ListedJob } from '../catalog/job-list.js'
import { databaseUrls } from '../config.js'
import { asPostboxError, PostboxError } from '../errors.js'
import { interruptSignal } from './interrupt.js'
import { isOpen, jobLines, jobMilestone, jobTable } from './job-lines.js'
import { LiveLines } from './live-lines.js'

const help = `
Examples:
  $ postbox jobs
  $ postbox jobs --watch

It reads backup.jobs at POSTBOX_DATABASE_URL, as any member of backup_monitor or backup_operator may. --watch goes on until
Ctrl-C and shows a bar for each job that runs; where standard output is no terminal it prints a line when something changed.`

const POLL_MS = 1000

interface Options {
  watch?: true
  json?: true
  ended: number
}

/** `postbox jobs`: what the worker does, and how the last jobs ended. */
export function jobsCommand(): Command {
  return new Command('jobs')
    .option('--watch', 'go on showing them, with progress bars')
    .option('--ended <number>', 'how many of those that have ended', parseCount, 10)
    .option('--json', 'print JSON; with --watch a line for each change')
    .addHelpText('after', help)
    .action(async (options: Options) => {
      const signal = interruptSignal()
      const url = await findPrimary(databaseUrls(), say)
      await using list = await openJobList(url)
      if (options.watch) {
        await watch(list, options, signal)
        return
      }
      const jobs = await list.read(options.ended)
      process.stdout.write(options.json ? `${JSON.stringify(jobs, null, 1)}\n` : `${jobTable(jobs).join('\n')}\n`)
    })
}

/** Reads until `signal` is aborted; a database that is away for a while is waited for. */
async function watch(list: JobList, { ended, json }: Options, signal: AbortSignal): Promise<void> {
  const show = !json && process.stdout.isTTY ? onTerminal() : inLines(json ?? false)
  let trouble: string | null = null
  while (!signal.aborted) {
    try {
      show(await list.read(ended))
      trouble = null
    } catch (thrown) {
      const error = asPostboxError(thrown)
      if (!error.retryable) throw error
      if (trouble !== error.message) say((trouble = error.message))
    }
    await delay(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
}

type Show = (jobs: readonly ListedJob[]) => void

function onTerminal(): Show {
  const lines = new LiveLines(process.stdout)
  return (jobs) => {
    lines.draw(jobs.length === 0 ? ['no jobs'] : jobs.flatMap(jobLines))
  }
}

/** At first the open jobs, then each whenever it has come a step further. */
function inLines(json: boolean): Show {
  const seen = new Map<string, string>()
  let first = true
  return (jobs) => {
    for (const job of jobs) {
      const milestone = jobMilestone(job)
      const isNews = seen.get(job.job_id) !== milestone && (!first || isOpen(job))
      seen.set(job.job_id, milestone)
      if (isNews) process.stdout.write(`${json ? JSON.stringify(job) : jobLines(job).join('\n')}\n`)
    }
    first = false
  }
}

function say(text: string): void {
  process.stderr.write(`postbox: ${text}\n`)
}

function parseCount(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text)
  throw new PostboxError('bad_argument', `"${text}" is no number of jobs`, 'Write it as 0, 10 or 500.')
}
