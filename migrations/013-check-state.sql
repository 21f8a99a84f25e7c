-- The state of each check when the worker looked last, so that a change is seen, once.
create table backup._check_state (
    name    text        not null,
    state   text        not null,
    message text        not null,
    since   timestamptz not null default now(),

    constraint check_state_pk primary key (name),
    constraint check_state_known check (state in ('ok', 'warn', 'crit'))
);

comment on table  backup._check_state is 'What backup.checks said last. Private: read backup.checks instead.';
comment on column backup._check_state.message is 'As it was when the state began.';

alter table backup._worker add column facts jsonb not null default '{}';
comment on column backup._worker.facts is
    'What the worker measured beside the server: {box_skew_seconds, database_skew_seconds, disk: {free_bytes, total_bytes}}.';

-- Failures are few, and asked for all the time.
create index job_failed_idx on backup._job (job_id) where state = 'failed';
