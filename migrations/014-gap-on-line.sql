-- It takes the timeline, too.
drop function if exists backup._start_base_after_gap(bigint, pg_lsn, text, boolean);
