-- A row is a commit: it comes after the manifest of the dump is stored.
create table backup._dump (
    dump_id              text        not null,
    job_id               bigint      not null,
    label                text,
    system_identifier    bigint      not null,
    database_name        name        not null,
    snapshot_lsn         pg_lsn      not null,
    snapshot_at          timestamptz not null,
    finished_at          timestamptz not null default now(),
    whole                boolean     not null,
    masked               boolean     not null,
    tables               integer     not null,
    table_rows           bigint      not null,
    raw_bytes            bigint      not null,
    stored_bytes         bigint      not null,
    manifest_key         text        not null,
    postgres_version_num integer     not null,

    constraint dump_pk primary key (dump_id),
    constraint dump_once_per_job unique (job_id),
    constraint dump_job_fk foreign key (job_id) references backup._job,
    constraint dump_masked_is_not_whole check (not (masked and whole)),
    constraint dump_sizes_true check (tables >= 0 and table_rows >= 0 and raw_bytes >= 0 and stored_bytes >= 0)
);

comment on table  backup._dump is 'One finished dump. Private: read backup.dumps instead.';
comment on column backup._dump.snapshot_lsn is
    'End of WAL when the snapshot was taken, to line it up with point-in-time recovery.';
comment on column backup._dump.whole is 'Whether it is all of the database: nothing left out, filtered or masked.';

-- By name: a table that was dropped and made anew keeps its masks, and one that was renamed ends a masked dump.
create table backup._mask (
    schema_name      text        not null,
    table_name       text        not null,
    column_name      text        not null,
    expression       text        not null,
    set_by           name        not null,
    set_by_superuser boolean     not null,
    set_at           timestamptz not null default now(),

    constraint mask_pk primary key (schema_name, table_name, column_name)
);

comment on table  backup._mask is 'What a masked dump holds in place of a column. Private: read backup.masks instead.';
comment on column backup._mask.set_by_superuser is
    'The worker evaluates the expression; where that is a superuser, only one may have set it.';
