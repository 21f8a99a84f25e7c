/** A table whose rows are copied, as the snapshot of the dump shows it. */
export interface DumpTable {
  oid: number
  schema: string
  name: string
  /** quoted, with its schema */
  sql: string
  /** in the order of a row's fields; without generated ones */
  columns: DumpColumn[]
  /** condition of its rows; null for all */
  where: Expression | null
  /** the partitioned table that a restore must copy into; null: the table itself */
  root: TableName | null
  bytes: number
  pages: number
  /** whether ranges of ctid can be read by themselves */
  divisible: boolean
}

export interface DumpColumn {
  name: string
  /** with its modifier, as SQL has it */
  type: string
  /** in place of its value; null for the value */
  mask: Expression | null
}

/** SQL over the columns of a table, or of one that inherits from it. */
export interface Expression {
  sql: string
  /** what the expression may call the table */
  origin: string
}

export interface TableName {
  schema: string
  name: string
}
