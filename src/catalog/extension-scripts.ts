/** One file of `migrations/` or `sql/`. */
export interface SqlFile {
  name: string
  text: string
}

export interface SqlFiles {
  /** in the order in which they are applied, once each */
  migrations: readonly SqlFile[]
  /** applied anew by each version, in this order */
  behaviour: readonly SqlFile[]
}

/** What a DBA has set. pg_dump keeps the rows of no other table: they tell what is stored of this server, not of its copy. */
const CONFIGURATION = ['_setting', '_mask'] as const

/** What `CREATE EXTENSION` and `ALTER EXTENSION` know before they read a script. */
export function controlFile(version: string): string {
  return `comment = 'PostgreSQL backups to S3 without an S3 key on the database server'
default_version = '${version}'
schema = backup
relocatable = false
superuser = true
`
}

/** `postbox--<version>.sql`: makes the same objects as `postbox install`. */
export function installScript({ migrations, behaviour }: SqlFiles): string {
  return [
    onlyBy('CREATE EXTENSION postbox'),
    NOT_INSTALLED_OTHERWISE,
    MIGRATION_TABLE,
    ...migrations.map(applyOnce),
    ...behaviour.map(({ text }) => text),
    ...CONFIGURATION.map((table) => `select pg_catalog.pg_extension_config_dump('backup.${table}', '');`),
  ].join('\n')
}

/** `postbox--<from>--<to>.sql`, where `lastMigration` is the last that the version `from` had. */
export function updateScript(to: string, { migrations, behaviour }: SqlFiles, lastMigration: string): string {
  return [
    onlyBy(`ALTER EXTENSION postbox UPDATE TO '${to}'`),
    ...migrations.filter(({ name }) => name > lastMigration).map(applyOnce),
    ...behaviour.map(({ text }) => text),
    ...CONFIGURATION.map((table) => `select pg_catalog.pg_extension_config_dump('backup.${table}', '');`),
  ].join('\n')
}

/** Which files of `migrations/` are in; `postbox install` makes it with the same text. */
export const MIGRATION_TABLE = `create table if not exists backup._migration (
    migration  text        not null,
    applied_at timestamptz not null default now(),
    constraint migration_pk primary key (migration)
);
comment on table backup._migration is 'Which files of migrations/ have been applied here.';
`

/** Without it psql would make objects that belong to no extension. */
function onlyBy(statement: string): string {
  return `\\echo Use "${statement}" to load this file. \\quit
set local search_path = pg_catalog, pg_temp;
set local client_min_messages = 'warning';
`
}

const NOT_INSTALLED_OTHERWISE = `do $$
begin
    if to_regclass('backup._migration') is not null then
        raise exception using
            errcode = 'duplicate_object',
            message = 'the schema backup is there already, made by "postbox install"',
            hint = 'Upgrade it with "postbox install". Only a database without that schema can take the extension.';
    end if;
end
$$;
`

function applyOnce({ name, text }: SqlFile): string {
  return `${text}\ninsert into backup._migration (migration) values ('${name}');\n`
}
