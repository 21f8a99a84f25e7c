-- What the keyholder proved by restoring, as the issuer tells it.
create table backup._drill (
    drill_id bigint generated always as identity,
    server text not null,
    system_identifier bigint not null,
    backup_id text not null,
    target text not null,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    ok boolean not null,
    problem text,
    restore_seconds numeric not null,
    recovery_seconds numeric not null,
    restored_bytes bigint not null,
    checks jsonb not null,
    recorded_at timestamptz not null default now(),
    constraint drill_pk primary key (drill_id),
    constraint drill_once unique (system_identifier, backup_id, finished_at)
);

comment on table  backup._drill is 'One drill of the keyholder. Private: read backup.drills instead.';
comment on column backup._drill.recorded_at is 'When the issuer told of it.';
