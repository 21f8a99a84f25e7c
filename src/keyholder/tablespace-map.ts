import type { Place } from './restore-directories.js'

/**
 * The text of tablespace_map: Postgres makes the links in pg_tblspc from it when it starts with a backup_label.
 *
 * One line each, `oid directory`; line ends and backslashes in the directory have a backslash before them
 * (do_pg_backup_start in xlog.c).
 */
export function tablespaceMap(places: readonly Place[]): string {
  return places
    .filter((place) => place.linked)
    .map(({ tablespace, directory }) => `${tablespace} ${directory.replace(/[\n\r\\]/g, '\\$&')}\n`)
    .join('')
}
