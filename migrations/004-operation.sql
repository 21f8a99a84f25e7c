-- Only what was set is kept: defaults live in the functions and may change with a release.
create table backup._setting (
    setting text        not null,
    value   text        not null,
    set_at  timestamptz not null default now(),

    constraint setting_pk primary key (setting)
);

comment on table backup._setting is 'Settings that differ from their default. Private: read backup.settings instead.';

-- Grants are kept whole, signature included, so nobody but the functions may read them.
create table backup._grant (
    grant_id     bigint      generated always as identity,
    server       text        not null,
    content      jsonb       not null,
    digest       bytea       not null,
    issued_at    timestamptz not null,
    expires_at   timestamptz not null,
    installed_at timestamptz not null default now(),

    constraint grant_pk primary key (grant_id),
    constraint grant_once unique (digest),
    constraint grant_time_order check (issued_at < expires_at)
);

comment on table  backup._grant is 'Signed POST policies. Private: read backup.grants instead.';
comment on column backup._grant.digest is 'SHA-256 of the content: a grant that comes twice is kept once.';
comment on column backup._grant.content is
    'The grant as it was signed. A secret: whoever reads it can post into the box.';

-- One row: what the last worker said of itself. Whether it lives is asked of its advisory lock.
create table backup._worker (
    only_row   boolean     not null default true,
    version    text        not null,
    started_at timestamptz not null,
    problems   jsonb       not null default '{}',

    constraint worker_pk primary key (only_row),
    constraint worker_one_row check (only_row)
);

comment on table  backup._worker is 'The last worker. Private: read backup.status and backup.checks instead.';
comment on column backup._worker.problems is
    '{component: {code, message, hint, since, reported_at}} of what troubles the worker now.';
