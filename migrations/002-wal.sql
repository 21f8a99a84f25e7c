-- GiST splits its pages by this distance.
create function backup._lsn_distance(
    upper_lsn pg_lsn,
    lower_lsn pg_lsn
)
    -- bytes between the two
    returns double precision
    language sql
    immutable strict parallel safe
    set search_path = pg_catalog, pg_temp
return (upper_lsn - lower_lsn)::double precision;

comment on function backup._lsn_distance(pg_lsn, pg_lsn) is 'Bytes between two LSNs, for backup.lsn_range.';

create type backup.lsn_range as range (
    subtype = pg_lsn,
    subtype_diff = backup._lsn_distance,
    multirange_type_name = backup.lsn_multirange
);

comment on type backup.lsn_range is 'A run of WAL: from the first byte up to, and without, the last LSN.';

-- A segment counts as one row, though a million of them are normal: views read _wal_range instead.
create table backup._wal_segment (
    system_identifier bigint      not null,
    timeline          integer     not null,
    start_lsn         pg_lsn      not null,
    segment_bytes     integer     not null,
    bytes             bigint      not null,
    sha256            bytea       not null,
    last_commit_at    timestamptz,
    stored_at         timestamptz not null default now(),
    key               text        not null,

    -- A second object for one segment means two servers wrote the same timeline.
    constraint wal_segment_pk primary key (system_identifier, timeline, start_lsn),
    constraint wal_segment_sha256_whole check (octet_length(sha256) = 32),
    constraint wal_segment_bytes_positive check (bytes > 0)
);

-- backup.objects is asked for one key at a time; a hash is a third of the size of a tree of these long keys.
create index wal_segment_key_idx on backup._wal_segment using hash (key);

comment on table  backup._wal_segment is 'One stored WAL segment. Private: read backup.wal_coverage or backup.objects.';
comment on column backup._wal_segment.sha256 is
    'Of the raw segment, because a repeated one may be compressed otherwise.';
comment on column backup._wal_segment.last_commit_at is 'Time of its last commit or abort; null when it holds none.';

-- Stored segments that follow each other without a gap are one range, so coverage never scans segments.
create table backup._wal_range (
    range_id          bigint           generated always as identity,
    system_identifier bigint           not null,
    timeline          integer          not null,
    lsns              backup.lsn_range not null,
    last_commit_at    timestamptz,

    constraint wal_range_pk primary key (range_id),
    constraint wal_range_bounded check (not isempty(lsns) and not lower_inf(lsns) and not upper_inf(lsns)),
    -- One-point ranges stand for the scalars: equality in GiST would need an extension.
    constraint wal_range_disjoint exclude using gist (
        int8range(system_identifier, system_identifier, '[]') with &&,
        int4range(timeline, timeline, '[]') with &&,
        lsns with &&
    )
) with (fillfactor = 50);

comment on table  backup._wal_range is 'WAL stored without a gap. Private: read backup.wal_coverage instead.';
comment on column backup._wal_range.last_commit_at is 'Newest commit or abort in the range.';

-- A timeline is known by its history file; the first one has none and no row.
create table backup._timeline (
    system_identifier bigint      not null,
    timeline          integer     not null,
    parent_timeline   integer     not null,
    switch_lsn        pg_lsn      not null,
    history           text        not null,
    key               text        not null,
    stored_at         timestamptz not null default now(),

    constraint timeline_pk primary key (system_identifier, timeline),
    constraint timeline_after_parent check (parent_timeline between 1 and timeline - 1)
);

comment on table  backup._timeline is 'One stored timeline history. Private: read backup.recovery_windows instead.';
comment on column backup._timeline.switch_lsn is 'Where the parent was left: its WAL counts up to here only.';
