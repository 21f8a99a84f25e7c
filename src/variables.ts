/** Who reads a variable: the database's side, the side with the S3 keys, or both. */
export type Side = 'worker' | 'keyholder' | 'both'

export interface Variable {
  name: `POSTBOX_${string}`
  side: Side
  meaning: string
  /** as a person would write it; null when there is none */
  default: string | null
}

/** Every variable that Postbox reads. docs/variables.md says the same; src/config.ts reads no other. */
export const variables = [
  {
    name: 'POSTBOX_DATABASE_URL',
    side: 'worker',
    meaning:
      'the database that holds the catalog, as postgresql://user@host:port/database; of several, with commas between, the primary',
    default: null,
  },
  {
    name: 'POSTBOX_DATABASE_PASSWORD_FILE',
    side: 'worker',
    meaning:
      'a file that holds the password of the addresses that have a user and no password, so that none stands in the environment',
    default: null,
  },
  {
    name: 'POSTBOX_SOURCE_URL',
    side: 'worker',
    meaning:
      'the server that WAL and base backups are read from, when that is a standby; of several the first that answers',
    default: 'where the catalog is',
  },
  {
    name: 'POSTBOX_ISSUER_URL',
    side: 'worker',
    meaning: 'the issuer that signs grants, as https://host:port; without it grants are installed by hand',
    default: null,
  },
  {
    name: 'POSTBOX_ISSUER_TOKEN',
    side: 'worker',
    meaning: "this server's token at the issuer",
    default: null,
  },
  {
    name: 'POSTBOX_ISSUER_TOKEN_FILE',
    side: 'worker',
    meaning: 'a file that holds the token, in place of POSTBOX_ISSUER_TOKEN',
    default: null,
  },
  {
    name: 'POSTBOX_THREADS',
    side: 'worker',
    meaning: 'threads that compress',
    default: 'one for each core',
  },
  {
    name: 'POSTBOX_SOCKET',
    side: 'worker',
    meaning: 'the socket at which the worker takes WAL from archive-wal, for its own user alone',
    default: '/tmp/postbox-<uid>/<system identifier>.sock',
  },
  {
    name: 'POSTBOX_LISTEN',
    side: 'worker',
    meaning:
      'where the worker serves its page, /metrics, /healthz and /readyz, such as 127.0.0.1:9187; without it nowhere',
    default: null,
  },
  {
    name: 'POSTBOX_PAGE_TOKEN',
    side: 'worker',
    meaning: 'what opens the page, 16 signs at least; without it the page opens on an address of this machine alone',
    default: null,
  },
  {
    name: 'POSTBOX_PAGE_TOKEN_FILE',
    side: 'worker',
    meaning: 'a file that holds it, in place of POSTBOX_PAGE_TOKEN',
    default: null,
  },
  {
    name: 'POSTBOX_CA_FILE',
    side: 'both',
    meaning: 'certificates (PEM) to trust for S3 and the issuer, in place of the public ones',
    default: null,
  },
  {
    name: 'POSTBOX_LOG_LEVEL',
    side: 'both',
    meaning: 'debug, info, warn, error or silent',
    default: 'info',
  },
  {
    name: 'POSTBOX_BUCKET',
    side: 'keyholder',
    meaning: 'the bucket',
    default: null,
  },
  {
    name: 'POSTBOX_S3_ENDPOINT',
    side: 'keyholder',
    meaning: 'an S3 service other than AWS, as https://host:port',
    default: null,
  },
  {
    name: 'POSTBOX_S3_REGION',
    side: 'keyholder',
    meaning: "the bucket's region",
    default: 'AWS_REGION, AWS_DEFAULT_REGION, us-east-1',
  },
  {
    name: 'POSTBOX_S3_PATH_STYLE',
    side: 'keyholder',
    meaning: 'true puts the bucket into the path, false into the host name',
    default: 'true with POSTBOX_S3_ENDPOINT, false without',
  },
  {
    name: 'POSTBOX_KEYHOLDER_FILE',
    side: 'keyholder',
    meaning: "the servers, their tokens' hashes and their retention",
    default: 'keyholder.yaml',
  },
] as const satisfies readonly Variable[]
