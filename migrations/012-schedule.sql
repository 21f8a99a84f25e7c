-- What is to be started again and again. A DBA sets it; pg_dump keeps it with the extension.
create table backup._schedule (
    name         text            not null,
    cron         text            not null,
    time_zone    text            not null,
    kind         backup.job_kind not null,
    options      jsonb           not null,
    by_superuser boolean         not null,
    set_by       name            not null default session_user,
    set_at       timestamptz     not null default clock_timestamp(),

    constraint schedule_pk primary key (name),
    constraint schedule_options_is_object check (jsonb_typeof(options) = 'object')
);

comment on table  backup._schedule is 'A base backup or dump that is started by time. Private: read backup.schedules instead.';
comment on column backup._schedule.options is 'Arguments of backup.start_base() or backup.start_dump(), by name.';
comment on column backup._schedule.by_superuser is 'Whether a superuser has set it: a worker that is one takes SQL from no one else.';

-- Where a schedule stands. Apart from what was set, so that a copy of the settings begins afresh.
create table backup._schedule_run (
    name            text        not null,
    next_run_at     timestamptz,
    last_run_at     timestamptz,
    last_job_id     bigint,
    last_skipped_at timestamptz,
    skipped         bigint      not null default 0,
    problem         jsonb,

    constraint schedule_run_pk primary key (name),
    constraint schedule_run_schedule_fk foreign key (name) references backup._schedule on delete cascade,
    constraint schedule_run_skipped_not_negative check (skipped >= 0),
    constraint schedule_run_goes_on check (next_run_at > last_run_at and next_run_at > last_skipped_at)
);

comment on table  backup._schedule_run is 'Where a schedule stands. Private: read backup.schedules instead.';
comment on column backup._schedule_run.next_run_at is 'When it is due; null until the worker has computed it.';
comment on column backup._schedule_run.last_run_at is 'The due time for which a job was queued last.';
comment on column backup._schedule_run.last_skipped_at is 'The due time at which its last job had not ended yet.';
comment on column backup._schedule_run.problem is '{code, message, hint}: why it cannot be computed or was not queued.';

alter table backup._job add column schedule text;
comment on column backup._job.schedule is 'The schedule that queued it; null: somebody did.';

-- The newest job of a schedule is asked for at each run.
create index job_schedule_idx on backup._job (schedule, job_id) where schedule is not null;
