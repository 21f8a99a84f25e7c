import type { Command } from 'commander'

export interface CommandEntry {
  name: string
  description: string
  /** one line that works as it stands, but for the names in it */
  example: string
  /** in place of 1 and 2, where the caller reads something else from those */
  failureExitCode?: number
  load: () => Promise<Command>
}

/** Every command, loaded only when it is asked for. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'install',
    description: 'install or upgrade the schema "backup" in the database',
    example: 'postbox install',
    load: async () => (await import('./install.js')).installCommand(),
  },
  {
    name: 'worker',
    description: 'run backups and keep WAL flowing into the box, beside the database and without an S3 key',
    example: 'postbox worker',
    load: async () => (await import('./worker.js')).workerCommand(),
  },
  {
    name: 'check',
    description: 'say in one line whether all is well, with exit codes and figures as Nagios takes them',
    example: 'postbox check',
    // 1 and 2 are taken.
    failureExitCode: 3,
    load: async () => (await import('./check.js')).checkCommand(),
  },
  {
    name: 'doctor',
    description: 'try everything that the worker needs, and say what to fix',
    example: 'postbox doctor',
    load: async () => (await import('./doctor.js')).doctorCommand(),
  },
  {
    name: 'jobs',
    description: 'show what the worker does, with progress bars, and how the last jobs ended',
    example: 'postbox jobs --watch',
    load: async () => (await import('./jobs.js')).jobsCommand(),
  },
  {
    name: 'archive-wal',
    description: "store one WAL file, as Postgres's archive_command",
    example: 'postbox archive-wal pg_wal/000000010000000000000001',
    load: async () => (await import('./archive-wal.js')).archiveWalCommand(),
  },
  {
    name: 'grant',
    description: 'sign a grant: the right to post, for one server and for a while',
    example: 'postbox grant --server db1 --expires 12h',
    load: async () => (await import('./grant.js')).grantCommand(),
  },
  {
    name: 'issuer',
    description: 'sign grants over HTTP for the servers that show their token',
    example: 'postbox issuer --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem',
    load: async () => (await import('./issuer.js')).issuerCommand(),
  },
  {
    name: 'probe',
    description: 'try what a bucket does: are policies kept to, is anything immutable, how long may a grant live',
    example: 'postbox probe',
    load: async () => (await import('./probe.js')).probeCommand(),
  },
  {
    name: 'list',
    description: 'list the backups in the archive and the times that each can be restored to',
    example: 'postbox list --server db1',
    load: async () => (await import('./list.js')).listCommand(),
  },
  {
    name: 'status',
    description: 'how every server of a bucket stands: last base backup, window, how far behind, drill, size and cost',
    example: 'postbox status --html status.html',
    load: async () => (await import('./status.js')).statusCommand(),
  },
  {
    name: 'restore',
    description: 'restore a backup into an empty data directory, up to a point in time',
    example: 'postbox restore --server db1 --data-dir /var/lib/postgresql/18/main --target latest',
    load: async () => (await import('./restore.js')).restoreCommand(),
  },
  {
    name: 'restore-dump',
    description: 'restore a logical dump into a database, whole or by table',
    example: 'postbox restore-dump --server db1 --database-url postgresql://postgres@localhost/shop --create',
    load: async () => (await import('./restore-dump.js')).restoreDumpCommand(),
  },
  {
    name: 'drill',
    description: 'carry out a restore in a scratch directory, look at the restored server, and keep the result',
    example: 'postbox drill --server db1 --sql drill.sql',
    load: async () => (await import('./drill.js')).drillCommand(),
  },
  {
    name: 'verify',
    description: 'check that everything which the archive promises is there, by listing or byte by byte',
    example: 'postbox verify --server db1 --deep',
    load: async () => (await import('./verify.js')).verifyCommand(),
  },
  {
    name: 'prune',
    description: 'delete what the retention in keyholder.yaml no longer keeps; without --confirm it only says what',
    example: 'postbox prune --server db1',
    load: async () => (await import('./prune.js')).pruneCommand(),
  },
  {
    name: 'rebuild-catalog',
    description: 'fill the catalog of a new or restored server again, from the bucket alone',
    example: 'postbox rebuild-catalog --server db1 | psql',
    load: async () => (await import('./rebuild-catalog.js')).rebuildCatalogCommand(),
  },
  {
    name: 'fetch-wal',
    description: "fetch one WAL segment, as Postgres's restore_command",
    example: 'postbox fetch-wal --server db1 --system-identifier 7412345678901234567 %f %p',
    // Postgres takes codes up to 125 for "the archive has no more" and would end recovery early.
    failureExitCode: 255,
    load: async () => (await import('./fetch-wal.js')).fetchWalCommand(),
  },
  {
    name: 'completion',
    description: 'print a script by which bash, zsh or fish completes what is typed',
    example: 'postbox completion bash',
    load: async () => (await import('./completion.js')).completionCommand(),
  },
]

/** The examples for the foot of `postbox --help`. */
export function examplesHelp(): string {
  const lines = commands.map(({ example }) => `  $ ${example}`)
  return `\nExamples:\n${lines.join('\n')}\n\n"postbox help COMMAND" says more of each. Settings are POSTBOX_* variables.`
}
