-- Everything is closed first, then opened one by one.
revoke all on schema backup from public;
revoke all on all tables in schema backup from public, backup_operator, backup_monitor, backup_worker;
revoke all on all sequences in schema backup from public, backup_operator, backup_monitor, backup_worker;
revoke all on all routines in schema backup from public, backup_operator, backup_monitor, backup_worker;

grant usage on schema backup to backup_operator, backup_monitor, backup_worker;

-- Views, for all three.
grant select on
    backup.jobs, backup.schedules, backup.base_backups, backup.dumps, backup.masks, backup.drills, backup.objects,
    backup.wal_coverage, backup.wal_gaps, backup.recovery_windows,
    backup.grants, backup.settings, backup.status, backup.checks
to backup_operator, backup_monitor, backup_worker;

-- Functions inside a view are called as its reader. None of these writes, and none shows a signature.
grant execute on function
    backup._setting_list(), backup._setting_value(text),
    backup._worker_lock_key(), backup._worker_session(), backup._worker_alive(), backup._worker_report(),
    backup._grant_in_use(),
    backup._segment_name(integer, pg_lsn, integer),
    backup._rows_slot(text), backup._wal_position(), backup._at_risk(), backup._own_line(), backup._own_bases(),
    backup.lsn_range(pg_lsn, pg_lsn), backup.lsn_multirange(backup.lsn_range),
    backup._check_worker(), backup._check_grants(), backup._check_backups(), backup._check_drills(),
    backup._check_wal_delay(), backup._check_slot(), backup._check_dumps_alone(), backup._check_wal_backlog(),
    backup._check_schedules(),
    backup._check_machine()
to backup_operator, backup_monitor, backup_worker;

-- Verbs.
grant execute on function backup.can_restore_to(timestamptz) to backup_operator, backup_monitor;
grant execute on procedure backup.wait(bigint, interval) to backup_operator, backup_monitor;
grant execute on function
    backup.configure(text, text), backup.start_base(text, text), backup.cancel(bigint),
    backup.start_dump(regclass[], text[], text, jsonb), backup.mask(text, text),
    backup.schedule(text, text, text, jsonb, text), backup.unschedule(text)
to backup_operator;
-- What some of them call as their caller.
grant execute on function
    backup._queue_dump(regclass[], text[], text, jsonb), backup._set_mask(text, text),
    backup._set_schedule(text, text, text, jsonb, text),
    backup._expression_problem(text), backup._try_expression(regclass, text, text),
    backup._column_path(text), backup._column(text[])
to backup_operator;
grant execute on function backup.install_grant(jsonb) to backup_operator, backup_worker;

-- The worker's own.
grant execute on function
    backup._enter_life(), backup._start_worker(text), backup._note_checks(), backup._report_facts(jsonb),
    backup._wal_directory(), backup._webhook(), backup._report_problem(text, jsonb), backup._report_source(text),
    backup._report_slot_made(pg_lsn), backup._slot_made_at(),
    backup._report_at_risk(pg_lsn, timestamptz),
    backup._claim_job(), backup._report_progress(bigint, text, bigint, bigint, jsonb), backup._is_cancel_requested(bigint),
    backup._fail_job(bigint, jsonb, boolean), backup._end_canceled(bigint),
    backup._record_object(bigint, text, text, bigint, bigint, bytea),
    backup._record_segments(bigint, jsonb), backup._record_timeline(bigint, integer, text, text),
    backup._knows_segment(bigint, integer, pg_lsn, bytea), backup._knows_timeline(bigint, integer, text),
    backup._covers_wal(bigint, integer, pg_lsn, pg_lsn), backup._is_synchronous(text), backup._stored_wal(timestamptz, integer),
    backup._written_by(bigint, integer, pg_lsn), backup._finish_segment(pg_lsn),
    backup._previous_mark(bigint, integer, pg_lsn, integer), backup._segment_key(bigint, integer, pg_lsn),
    backup._record_gap(bigint, integer, pg_lsn, text, boolean), backup._resume_base_after_gap(bigint),
    backup._wal_holes(bigint, integer, pg_lsn),
    backup._finish_base(bigint, jsonb), backup._record_drill(jsonb), backup._record_kept(jsonb), backup._previous_manifest(bigint),
    backup._dump_selection(jsonb), backup._matching(text[]), backup._masks(), backup._remember_masked(jsonb),
    backup._finish_dump(bigint, jsonb), backup._previous_dump(bigint),
    backup._planned_schedules(), backup._plan_schedule(text, text, text, timestamptz, jsonb),
    backup._run_schedule(text, timestamptz, timestamptz),
    backup._grant()
to backup_worker;
