-- Null, or where WAL is read from when that is a standby: no view of the primary sees the slot then.
alter table backup._worker add column standby text;

comment on column backup._worker.standby is
    'Address of the standby that the last worker read WAL from; null: it read it here.';
