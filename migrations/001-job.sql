-- 'interrupted' is no state: backup.jobs derives it from a running job whose worker is gone.
create type backup.job_state as enum ('queued', 'running', 'done', 'failed', 'canceled');
create type backup.job_kind as enum ('base', 'dump');

comment on type backup.job_state is 'Where a job stands. queued and running jobs are open, the others have ended.';
comment on type backup.job_kind is 'What a job stores: a base backup of the whole server or a dump of this database.';

-- A job is one request to store something. Callers insert, the worker claims, nobody updates by hand.
create table backup._job (
    job_id              bigint           generated always as identity,
    kind                backup.job_kind  not null,
    state               backup.job_state not null default 'queued',
    target              jsonb            not null,
    attempts            integer          not null default 0,
    phase               text,
    bytes_done          bigint           not null default 0,
    bytes_total         bigint,
    cancel_requested_at timestamptz,
    error               jsonb,
    created_at          timestamptz      not null default now(),
    started_at          timestamptz,
    ended_at            timestamptz,

    constraint job_pk primary key (job_id),
    constraint job_error_if_failed check (state not in ('failed', 'canceled') or error is not null),
    constraint job_error_names_itself check (error is null or error ?& array['code', 'message', 'hint']),
    constraint job_started_if_running check (state not in ('running', 'done') or started_at is not null),
    constraint job_ended_if_closed check ((state in ('queued', 'running')) = (ended_at is null)),
    constraint job_bytes_not_negative check (bytes_done >= 0 and bytes_total >= 0)
) with (fillfactor = 70);

-- Only open jobs are ever searched for, so only they are indexed.
create index job_open_idx on backup._job (job_id) where state in ('queued', 'running');

comment on table  backup._job is 'One request to store something. Private: read backup.jobs instead.';
comment on column backup._job.target is 'What was asked for: {label, checkpoint} of a base backup.';
comment on column backup._job.attempts is 'How often a worker has claimed it.';
comment on column backup._job.cancel_requested_at is 'Set by backup.cancel() while the job runs; the worker ends it.';
comment on column backup._job.error is '{code, message, hint} of the last failure; cleared when the job is done.';

-- An object is what the box has taken for a job. WAL and timeline histories have tables of their own.
create table backup._object (
    key       text        not null,
    kind      text        not null,
    job_id    bigint      not null,
    bytes     bigint      not null,
    raw_bytes bigint      not null,
    sha256    bytea       not null,
    stored_at timestamptz not null default now(),

    constraint object_pk primary key (key),
    constraint object_job_fk foreign key (job_id) references backup._job,
    constraint object_sha256_whole check (octet_length(sha256) = 32),
    constraint object_bytes_positive check (bytes > 0 and raw_bytes >= 0)
);

create index object_job_idx on backup._object (job_id);

comment on table  backup._object is 'One stored object of a job. Private: read backup.objects instead.';
comment on column backup._object.sha256 is 'Of the stored bytes.';
comment on column backup._object.raw_bytes is 'Bytes before compression.';
