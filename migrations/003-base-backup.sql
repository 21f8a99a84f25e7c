-- A row is a commit: it comes after the manifest is stored and the WAL from start to stop with it.
create table backup._base_backup (
    backup_id            text        not null,
    job_id               bigint      not null,
    label                text,
    system_identifier    bigint      not null,
    timeline             integer     not null,
    start_lsn            pg_lsn      not null,
    stop_lsn             pg_lsn      not null,
    started_at           timestamptz not null,
    stopped_at           timestamptz not null,
    raw_bytes            bigint      not null,
    stored_bytes         bigint      not null,
    parts                integer     not null,
    manifest_key         text        not null,
    manifest_sha256      bytea       not null,
    postgres_version_num integer     not null,
    recorded_at          timestamptz not null default now(),

    constraint base_backup_pk primary key (backup_id),
    constraint base_backup_once_per_job unique (job_id),
    constraint base_backup_job_fk foreign key (job_id) references backup._job,
    constraint base_backup_lsn_order check (start_lsn <= stop_lsn),
    constraint base_backup_has_parts check (parts > 0 and raw_bytes > 0 and stored_bytes > 0),
    constraint base_backup_manifest_sha256_whole check (octet_length(manifest_sha256) = 32)
);

create index base_backup_newest_idx on backup._base_backup (stopped_at);

comment on table  backup._base_backup is 'One finished base backup. Private: read backup.base_backups instead.';
comment on column backup._base_backup.stopped_at is 'The earliest time that can be restored to.';
comment on column backup._base_backup.manifest_sha256 is 'Of the stored manifest; the next manifest names it.';
