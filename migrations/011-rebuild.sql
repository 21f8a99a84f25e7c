-- A catalog that was filled again from the bucket knows of a segment's hash what its name says: the first six bytes.
alter table backup._wal_segment
    drop constraint wal_segment_sha256_whole,
    add constraint wal_segment_sha256_whole_or_mark check (octet_length(sha256) in (6, 32));

comment on column backup._wal_segment.sha256 is
    'Of the raw segment, because a repeated one may be compressed otherwise; whole, or the six bytes that its key says.';

-- A restored server has the catalog of the one that was backed up, and must not take its jobs for its own.
alter table backup._worker add column life text;

comment on column backup._worker.life is 'Which restores the server had gone through when the last worker began.';
