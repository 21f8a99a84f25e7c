import { InvalidArgumentError } from 'commander'

/** The value of --jobs: how many things are done at once. */
export function parseJobs(text: string): number {
  if (!/^([1-9]|[1-5]\d|6[0-4])$/.test(text)) throw new InvalidArgumentError('Use 1 to 64.')
  return Number(text)
}
