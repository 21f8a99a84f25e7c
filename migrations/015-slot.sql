-- A slot is made where the server's last checkpoint began, which is no place up to which anything is stored.
alter table backup._worker add column slot_made_at pg_lsn;

comment on column backup._worker.slot_made_at is
    'Where the replication slot stood when a worker made it: while it stands there, nothing is stored from its segment on.';
