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
    tables               integer     not null,
    table_rows           bigint      not null,
    raw_bytes            bigint      not null,
    stored_bytes         bigint      not null,
    manifest_key         text        not null,
    postgres_version_num integer     not null,

    constraint dump_pk primary key (dump_id),
    constraint dump_once_per_job unique (job_id),
    constraint dump_job_fk foreign key (job_id) references backup._job,
    constraint dump_sizes_true check (tables >= 0 and table_rows >= 0 and raw_bytes > 0 and stored_bytes > 0)
);

comment on table  backup._dump is 'One finished dump. Private: read backup.dumps instead.';
comment on column backup._dump.snapshot_lsn is 'End of WAL when the snapshot was taken, to line it up with point-in-time recovery.';
