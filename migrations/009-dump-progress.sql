-- Of a dump: how many tables are copied, and which are on their way. Rewritten with the other progress, every few seconds.
alter table backup._job add column tables jsonb;

comment on column backup._job.tables is
    '{done, total, copying: [{table, bytes_done, bytes_total}, ...]} of a dump that has begun to copy.';

-- It has one argument more now.
drop function if exists backup._report_progress(bigint, text, bigint, bigint);
