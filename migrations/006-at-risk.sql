-- How long WAL waits is known to the worker that saw it come. Kept for the time in which none streams, and for the next.
alter table backup._worker
    add column at_risk_from  pg_lsn,
    add column at_risk_since timestamptz,
    add constraint worker_at_risk_whole check ((at_risk_from is null) = (at_risk_since is null));

comment on column backup._worker.at_risk_from is 'First byte of WAL that was not stored then; null when all was.';
comment on column backup._worker.at_risk_since is 'When that byte was written: true for as long as it is not stored.';
