-- Most gaps are seen in the ranges of stored WAL, once some is stored behind them. The worker knows of one before that,
-- and why: a row says so at once, and counts for as long as the ranges leave something of it open.
create table backup._wal_gap (
    system_identifier bigint      not null,
    timeline          integer     not null,
    from_lsn          pg_lsn      not null,
    to_lsn            pg_lsn      not null,
    reason            text        not null,
    found_at          timestamptz not null default now(),

    -- A gap that grows is the same gap.
    constraint wal_gap_pk primary key (system_identifier, timeline, from_lsn),
    constraint wal_gap_has_bytes check (from_lsn < to_lsn)
);

comment on table  backup._wal_gap is 'WAL that the worker found to be lost. Private: read backup.wal_gaps instead.';
comment on column backup._wal_gap.to_lsn is 'Where the slot that was made anew begins.';
comment on column backup._wal_gap.found_at is 'When it was found first.';
