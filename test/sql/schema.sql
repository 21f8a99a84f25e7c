type job_kind enum: base, dump
type job_state enum: queued, running, done, failed, canceled
type lsn_range range: pg_lsn

table _base_backup.backup_id text not null
table _base_backup.job_id bigint not null
table _base_backup.label text
table _base_backup.system_identifier bigint not null
table _base_backup.timeline integer not null
table _base_backup.start_lsn pg_lsn not null
table _base_backup.stop_lsn pg_lsn not null
table _base_backup.started_at timestamp with time zone not null
table _base_backup.stopped_at timestamp with time zone not null
table _base_backup.raw_bytes bigint not null
table _base_backup.stored_bytes bigint not null
table _base_backup.parts integer not null
table _base_backup.manifest_key text not null
table _base_backup.manifest_sha256 bytea not null
table _base_backup.postgres_version_num integer not null
table _base_backup.recorded_at timestamp with time zone not null default now()
table _check_state.name text not null
table _check_state.state text not null
table _check_state.message text not null
table _check_state.since timestamp with time zone not null default now()
table _drill.drill_id bigint not null generated always as identity
table _drill.server text not null
table _drill.system_identifier bigint not null
table _drill.backup_id text not null
table _drill.target text not null
table _drill.started_at timestamp with time zone not null
table _drill.finished_at timestamp with time zone not null
table _drill.ok boolean not null
table _drill.problem text
table _drill.restore_seconds numeric not null
table _drill.recovery_seconds numeric not null
table _drill.restored_bytes bigint not null
table _drill.checks jsonb not null
table _drill.recorded_at timestamp with time zone not null default now()
table _dump.dump_id text not null
table _dump.job_id bigint not null
table _dump.label text
table _dump.system_identifier bigint not null
table _dump.database_name name not null
table _dump.snapshot_lsn pg_lsn not null
table _dump.snapshot_at timestamp with time zone not null
table _dump.finished_at timestamp with time zone not null default now()
table _dump.whole boolean not null
table _dump.masked boolean not null
table _dump.tables integer not null
table _dump.table_rows bigint not null
table _dump.raw_bytes bigint not null
table _dump.stored_bytes bigint not null
table _dump.manifest_key text not null
table _dump.postgres_version_num integer not null
table _dump.warnings text[] not null default '{}'::text[]
table _grant.grant_id bigint not null generated always as identity
table _grant.server text not null
table _grant.content jsonb not null
table _grant.digest bytea not null
table _grant.issued_at timestamp with time zone not null
table _grant.expires_at timestamp with time zone not null
table _grant.installed_at timestamp with time zone not null default now()
table _job.job_id bigint not null generated always as identity
table _job.kind backup.job_kind not null
table _job.state backup.job_state not null default 'queued'::backup.job_state
table _job.target jsonb not null
table _job.attempts integer not null default 0
table _job.phase text
table _job.bytes_done bigint not null default 0
table _job.bytes_total bigint
table _job.cancel_requested_at timestamp with time zone
table _job.error jsonb
table _job.created_at timestamp with time zone not null default now()
table _job.started_at timestamp with time zone
table _job.ended_at timestamp with time zone
table _job.tables jsonb
table _job.schedule text
table _mask.schema_name text not null
table _mask.table_name text not null
table _mask.column_name text not null
table _mask.expression text not null
table _mask.set_by name not null
table _mask.set_by_superuser boolean not null
table _mask.set_at timestamp with time zone not null default now()
table _masked_column.relation oid not null
table _masked_column.attnum smallint not null
table _masked_column.masked text not null
table _masked_column.catalog oid not null
table _migration.migration text not null
table _migration.applied_at timestamp with time zone not null default now()
table _object.key text not null
table _object.kind text not null
table _object.job_id bigint not null
table _object.bytes bigint not null
table _object.raw_bytes bigint not null
table _object.sha256 bytea not null
table _object.stored_at timestamp with time zone not null default now()
table _schedule.name text not null
table _schedule.cron text not null
table _schedule.time_zone text not null
table _schedule.kind backup.job_kind not null
table _schedule.options jsonb not null
table _schedule.by_superuser boolean not null
table _schedule.set_by name not null default SESSION_USER
table _schedule.set_at timestamp with time zone not null default clock_timestamp()
table _schedule_run.name text not null
table _schedule_run.next_run_at timestamp with time zone
table _schedule_run.last_run_at timestamp with time zone
table _schedule_run.last_job_id bigint
table _schedule_run.last_skipped_at timestamp with time zone
table _schedule_run.skipped bigint not null default 0
table _schedule_run.problem jsonb
table _setting.setting text not null
table _setting.value text not null
table _setting.set_at timestamp with time zone not null default now()
table _timeline.system_identifier bigint not null
table _timeline.timeline integer not null
table _timeline.parent_timeline integer not null
table _timeline.switch_lsn pg_lsn not null
table _timeline.history text not null
table _timeline.key text not null
table _timeline.stored_at timestamp with time zone not null default now()
table _wal_gap.system_identifier bigint not null
table _wal_gap.timeline integer not null
table _wal_gap.from_lsn pg_lsn not null
table _wal_gap.to_lsn pg_lsn not null
table _wal_gap.reason text not null
table _wal_gap.found_at timestamp with time zone not null default now()
table _wal_range.range_id bigint not null generated always as identity
table _wal_range.system_identifier bigint not null
table _wal_range.timeline integer not null
table _wal_range.lsns backup.lsn_range not null
table _wal_range.last_commit_at timestamp with time zone
table _wal_segment.system_identifier bigint not null
table _wal_segment.timeline integer not null
table _wal_segment.start_lsn pg_lsn not null
table _wal_segment.segment_bytes integer not null
table _wal_segment.bytes bigint not null
table _wal_segment.sha256 bytea not null
table _wal_segment.last_commit_at timestamp with time zone
table _wal_segment.stored_at timestamp with time zone not null default now()
table _wal_segment.key text not null
table _worker.only_row boolean not null default true
table _worker.version text not null
table _worker.started_at timestamp with time zone not null
table _worker.problems jsonb not null default '{}'::jsonb
table _worker.at_risk_from pg_lsn
table _worker.at_risk_since timestamp with time zone
table _worker.standby text
table _worker.life text
table _worker.facts jsonb not null default '{}'::jsonb
table _worker.slot_made_at pg_lsn
view base_backups.backup_id text
view base_backups.job_id bigint
view base_backups.label text
view base_backups.timeline integer
view base_backups.start_lsn pg_lsn
view base_backups.stop_lsn pg_lsn
view base_backups.started_at timestamp with time zone
view base_backups.stopped_at timestamp with time zone
view base_backups.raw_bytes bigint
view base_backups.stored_bytes bigint
view base_backups.parts integer
view base_backups.manifest_key text
view base_backups.system_identifier bigint
view base_backups.postgres_version_num integer
view checks.name text
view checks.state text
view checks.message text
view checks.hint text
view checks.since timestamp with time zone
view drills.drill_id bigint
view drills.server text
view drills.backup_id text
view drills.target text
view drills.started_at timestamp with time zone
view drills.finished_at timestamp with time zone
view drills.ok boolean
view drills.problem text
view drills.restore_seconds numeric
view drills.recovery_seconds numeric
view drills.restored_bytes bigint
view drills.checks jsonb
view drills.system_identifier bigint
view dumps.dump_id text
view dumps.job_id bigint
view dumps.label text
view dumps.database_name name
view dumps.snapshot_lsn pg_lsn
view dumps.snapshot_at timestamp with time zone
view dumps.finished_at timestamp with time zone
view dumps.whole boolean
view dumps.masked boolean
view dumps.tables integer
view dumps.table_rows bigint
view dumps.raw_bytes bigint
view dumps.stored_bytes bigint
view dumps.manifest_key text
view dumps.system_identifier bigint
view dumps.postgres_version_num integer
view dumps.warnings text[]
view grants.server text
view grants.url text
view grants.bucket text
view grants.key_prefix text
view grants.max_part_bytes bigint
view grants.issued_at timestamp with time zone
view grants.expires_at timestamp with time zone
view grants.installed_at timestamp with time zone
view grants.in_use boolean
view jobs.job_id bigint
view jobs.kind text
view jobs.state text
view jobs.label text
view jobs.phase text
view jobs.bytes_done bigint
view jobs.bytes_total bigint
view jobs.rate bigint
view jobs.eta interval
view jobs.attempts integer
view jobs.error_code text
view jobs.error_message text
view jobs.error_hint text
view jobs.created_at timestamp with time zone
view jobs.started_at timestamp with time zone
view jobs.ended_at timestamp with time zone
view jobs.tables_done integer
view jobs.tables_total integer
view jobs.copying jsonb
view jobs.schedule text
view masks.schema_name text
view masks.table_name text
view masks.column_name text
view masks.expression text
view masks.set_by name
view masks.set_at timestamp with time zone
view objects.key text
view objects.kind text
view objects.bytes bigint
view objects.raw_bytes bigint
view objects.sha256 text
view objects.stored_at timestamp with time zone
view objects.job_id bigint
view recovery_windows.backup_id text
view recovery_windows.timeline integer
view recovery_windows.from_lsn pg_lsn
view recovery_windows.to_lsn pg_lsn
view recovery_windows.from_at timestamp with time zone
view recovery_windows.to_at timestamp with time zone
view schedules.name text
view schedules.kind text
view schedules.cron text
view schedules.time_zone text
view schedules.options jsonb
view schedules.next_run_at timestamp with time zone
view schedules.last_run_at timestamp with time zone
view schedules.last_job_id bigint
view schedules.last_state text
view schedules.last_skipped_at timestamp with time zone
view schedules.skipped bigint
view schedules.error_message text
view schedules.error_hint text
view schedules.set_by name
view schedules.set_at timestamp with time zone
view settings.setting text
view settings.value text
view settings.default_value text
view settings.unit text
view settings.meaning text
view status.worker_alive boolean
view status.worker_version text
view status.worker_started_at timestamp with time zone
view status.server text
view status.last_base_id text
view status.last_base_at timestamp with time zone
view status.last_segment text
view status.durable_lsn pg_lsn
view status.bytes_at_risk bigint
view status.seconds_at_risk numeric
view status.grant_expires_at timestamp with time zone
view status.last_drill_at timestamp with time zone
view status.worker_error_code text
view status.worker_error_message text
view status.worker_error_hint text
view wal_coverage.system_identifier bigint
view wal_coverage.timeline integer
view wal_coverage.from_lsn pg_lsn
view wal_coverage.to_lsn pg_lsn
view wal_coverage.bytes bigint
view wal_coverage.last_commit_at timestamp with time zone
view wal_gaps.system_identifier bigint
view wal_gaps.timeline integer
view wal_gaps.from_lsn pg_lsn
view wal_gaps.to_lsn pg_lsn
view wal_gaps.bytes bigint
view wal_gaps.reason text
view wal_gaps.found_at timestamp with time zone

constraint base_backup_has_parts on backup._base_backup: CHECK (((parts > 0) AND (raw_bytes > 0) AND (stored_bytes > 0)))
constraint base_backup_job_fk on backup._base_backup: FOREIGN KEY (job_id) REFERENCES backup._job(job_id)
constraint base_backup_lsn_order on backup._base_backup: CHECK ((start_lsn <= stop_lsn))
constraint base_backup_manifest_sha256_whole on backup._base_backup: CHECK ((octet_length(manifest_sha256) = 32))
constraint base_backup_once_per_job on backup._base_backup: UNIQUE (job_id)
constraint base_backup_pk on backup._base_backup: PRIMARY KEY (backup_id)
constraint check_state_known on backup._check_state: CHECK ((state = ANY (ARRAY['ok'::text, 'warn'::text, 'crit'::text])))
constraint check_state_pk on backup._check_state: PRIMARY KEY (name)
constraint drill_once on backup._drill: UNIQUE (system_identifier, backup_id, finished_at)
constraint drill_pk on backup._drill: PRIMARY KEY (drill_id)
constraint dump_job_fk on backup._dump: FOREIGN KEY (job_id) REFERENCES backup._job(job_id)
constraint dump_masked_is_not_whole on backup._dump: CHECK ((NOT (masked AND whole)))
constraint dump_once_per_job on backup._dump: UNIQUE (job_id)
constraint dump_pk on backup._dump: PRIMARY KEY (dump_id)
constraint dump_sizes_true on backup._dump: CHECK (((tables >= 0) AND (table_rows >= 0) AND (raw_bytes >= 0) AND (stored_bytes >= 0)))
constraint grant_once on backup._grant: UNIQUE (digest)
constraint grant_pk on backup._grant: PRIMARY KEY (grant_id)
constraint grant_time_order on backup._grant: CHECK ((issued_at < expires_at))
constraint job_bytes_not_negative on backup._job: CHECK (((bytes_done >= 0) AND (bytes_total >= 0)))
constraint job_ended_if_closed on backup._job: CHECK (((state = ANY (ARRAY['queued'::backup.job_state, 'running'::backup.job_state])) = (ended_at IS NULL)))
constraint job_error_if_failed on backup._job: CHECK (((state <> ALL (ARRAY['failed'::backup.job_state, 'canceled'::backup.job_state])) OR (error IS NOT NULL)))
constraint job_error_names_itself on backup._job: CHECK (((error IS NULL) OR (error ?& ARRAY['code'::text, 'message'::text, 'hint'::text])))
constraint job_pk on backup._job: PRIMARY KEY (job_id)
constraint job_started_if_running on backup._job: CHECK (((state <> ALL (ARRAY['running'::backup.job_state, 'done'::backup.job_state])) OR (started_at IS NOT NULL)))
constraint mask_pk on backup._mask: PRIMARY KEY (schema_name, table_name, column_name)
constraint masked_column_pk on backup._masked_column: PRIMARY KEY (relation, attnum)
constraint migration_pk on backup._migration: PRIMARY KEY (migration)
constraint object_bytes_positive on backup._object: CHECK (((bytes > 0) AND (raw_bytes >= 0)))
constraint object_job_fk on backup._object: FOREIGN KEY (job_id) REFERENCES backup._job(job_id)
constraint object_pk on backup._object: PRIMARY KEY (key)
constraint object_sha256_whole on backup._object: CHECK ((octet_length(sha256) = 32))
constraint schedule_options_is_object on backup._schedule: CHECK ((jsonb_typeof(options) = 'object'::text))
constraint schedule_pk on backup._schedule: PRIMARY KEY (name)
constraint schedule_run_goes_on on backup._schedule_run: CHECK (((next_run_at > last_run_at) AND (next_run_at > last_skipped_at)))
constraint schedule_run_pk on backup._schedule_run: PRIMARY KEY (name)
constraint schedule_run_schedule_fk on backup._schedule_run: FOREIGN KEY (name) REFERENCES backup._schedule(name) ON DELETE CASCADE
constraint schedule_run_skipped_not_negative on backup._schedule_run: CHECK ((skipped >= 0))
constraint setting_pk on backup._setting: PRIMARY KEY (setting)
constraint timeline_after_parent on backup._timeline: CHECK (((parent_timeline >= 1) AND (parent_timeline <= (timeline - 1))))
constraint timeline_pk on backup._timeline: PRIMARY KEY (system_identifier, timeline)
constraint wal_gap_has_bytes on backup._wal_gap: CHECK ((from_lsn < to_lsn))
constraint wal_gap_pk on backup._wal_gap: PRIMARY KEY (system_identifier, timeline, from_lsn)
constraint wal_range_bounded on backup._wal_range: CHECK (((NOT isempty(lsns)) AND (NOT lower_inf(lsns)) AND (NOT upper_inf(lsns))))
constraint wal_range_disjoint on backup._wal_range: EXCLUDE USING gist (int8range(system_identifier, system_identifier, '[]'::text) WITH &&, int4range(timeline, timeline, '[]'::text) WITH &&, lsns WITH &&)
constraint wal_range_pk on backup._wal_range: PRIMARY KEY (range_id)
constraint wal_segment_bytes_positive on backup._wal_segment: CHECK ((bytes > 0))
constraint wal_segment_pk on backup._wal_segment: PRIMARY KEY (system_identifier, timeline, start_lsn)
constraint wal_segment_sha256_whole_or_mark on backup._wal_segment: CHECK ((octet_length(sha256) = ANY (ARRAY[6, 32])))
constraint worker_at_risk_whole on backup._worker: CHECK (((at_risk_from IS NULL) = (at_risk_since IS NULL)))
constraint worker_one_row on backup._worker: CHECK (only_row)
constraint worker_pk on backup._worker: PRIMARY KEY (only_row)

index CREATE INDEX base_backup_newest_idx ON backup._base_backup USING btree (stopped_at)
index CREATE INDEX job_failed_idx ON backup._job USING btree (job_id) WHERE (state = 'failed'::backup.job_state)
index CREATE INDEX job_open_idx ON backup._job USING btree (job_id) WHERE (state = ANY (ARRAY['queued'::backup.job_state, 'running'::backup.job_state]))
index CREATE INDEX job_schedule_idx ON backup._job USING btree (schedule, job_id) WHERE (schedule IS NOT NULL)
index CREATE INDEX object_job_idx ON backup._object USING btree (job_id)
index CREATE INDEX wal_segment_key_idx ON backup._wal_segment USING hash (key)

function _access_problem(target jsonb) returns text stable
function _at_risk() returns TABLE(durable_lsn pg_lsn, bytes_at_risk bigint, seconds_at_risk numeric, since timestamp with time zone) security definer stable
function _bases_on_line(system_identifier bigint, timeline integer) returns SETOF backup._base_backup stable
function _begin_rebuild(system_identifier bigint) returns void
function _canceled_error(job_id bigint) returns jsonb immutable
function _check_backups() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_base(label text, checkpoint text) returns void stable
function _check_drills() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_dumps_alone() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_error(error jsonb) returns jsonb immutable
function _check_grant(content jsonb, wanted_server text) returns void stable
function _check_grant_shape(content jsonb) returns void stable
function _check_grants() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_interval(setting text, value text) returns text stable
function _check_machine() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_name(setting text, value text, rule text, hint text) returns text immutable
function _check_number(setting text, value text, lowest bigint, highest bigint, sized boolean) returns text stable
function _check_policy(content jsonb, policy jsonb) returns void stable
function _check_schedules() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_secret(setting text, value text, rule text, hint text) returns text immutable
function _check_segments(system_identifier bigint, segments jsonb) returns void stable
function _check_setting(setting text, value text) returns text stable
function _check_slot() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_switch(setting text, value text) returns text immutable
function _check_wal_backlog() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_wal_delay() returns TABLE(name text, state text, message text, hint text) security definer stable
function _check_worker() returns TABLE(name text, state text, message text, hint text) security definer stable
function _checked_target(tables regclass[], schemas text[], label text, options jsonb) returns jsonb stable
function _choice_problem(tables regclass[], schemas text[], label text, options jsonb) returns text stable
function _claim_job() returns TABLE(job_id bigint, kind text, target jsonb, attempt integer) security definer
function _column(path text[]) returns TABLE(relation regclass, type_name text, not_null boolean) security definer stable
function _column_path(name text) returns text[] immutable
function _commit_locally() returns void
function _covered() returns TABLE(relation oid, attnum smallint, column_name text, expression text, set_by_superuser boolean, masked text, origin text) stable
function _covers_wal(system_identifier bigint, timeline integer, from_lsn pg_lsn, to_lsn pg_lsn) returns boolean security definer stable
function _cron_field_problem(field text, what text, lowest integer, highest integer, size integer, names text[]) returns text immutable
function _cron_has(field text, value integer, lowest integer, names text[]) returns boolean immutable
function _cron_number(word text, lowest integer, names text[]) returns numeric immutable
function _cron_problem(cron text) returns text immutable
function _dump_selection(target jsonb) returns TABLE(relation oid) security definer stable
function _dump_target(tables regclass[], schemas text[], label text, options jsonb) returns jsonb stable
function _end_canceled(job_id bigint) returns void security definer
function _end_rebuild(system_identifier bigint, forget_missing_at timestamp with time zone) returns TABLE(what text, rows bigint)
function _enter_life() returns TABLE(ended integer) security definer
function _expression_problem(expression text) returns text immutable
function _fail_job(job_id bigint, error jsonb, retry boolean) returns text security definer
function _family(relation oid) returns TABLE(relation oid, depth integer) stable
function _finish_base(job_id bigint, description jsonb) returns void security definer
function _finish_dump(job_id bigint, description jsonb) returns void security definer
function _finish_segment(lsn pg_lsn) returns boolean security definer
function _forget_folders(system_identifier bigint, backup_ids text[], dump_ids text[], before timestamp with time zone) returns bigint
function _forget_missing(system_identifier bigint, listed_at timestamp with time zone) returns bigint
function _forget_wal(system_identifier bigint, stored jsonb, before timestamp with time zone, reason text) returns bigint
function _from_hex(hex text) returns bytea immutable
function _grant() returns jsonb security definer stable
function _grant_in_use() returns bigint security definer stable
function _grant_moment(moment text) returns timestamp with time zone stable
function _grant_policy(encoded text) returns jsonb stable
function _is_cancel_requested(job_id bigint) returns boolean security definer stable
function _is_dumped_schema(schema oid) returns boolean stable
function _is_dumped_table(relation oid) returns boolean stable
function _is_filtered(relation oid, reader oid) returns boolean stable
function _is_listed(application_name text) returns boolean stable
function _is_segment(item jsonb) returns boolean immutable
function _is_synchronous(application_name text) returns boolean security definer stable
function _is_time_zone(name text) returns boolean stable
function _knows_segment(system_identifier bigint, timeline integer, start_lsn pg_lsn, sha256 bytea) returns boolean security definer stable
function _knows_timeline(system_identifier bigint, timeline integer, history text) returns boolean security definer stable
function _life() returns text security definer stable
function _line(system_identifier bigint, timeline integer) returns TABLE(on_timeline integer, to_lsn pg_lsn) stable
function _lock_running(job_id bigint) returns backup._job
function _lsn_distance(upper_lsn pg_lsn, lower_lsn pg_lsn) returns double precision immutable
function _masks() returns TABLE(relation oid, attnum smallint, column_name text, expression text, set_by_superuser boolean, masked text, origin text) security definer stable
function _matching(patterns text[]) returns TABLE(relation oid) security definer stable
function _merge_range(system_identifier bigint, timeline integer, fresh backup.lsn_range, last_commit_at timestamp with time zone) returns void
function _missing_before(system_identifier bigint, timeline integer, lsn pg_lsn) returns TABLE(on_timeline integer, from_lsn pg_lsn, to_lsn pg_lsn) stable
function _missing_between(system_identifier bigint) returns TABLE(on_timeline integer, from_lsn pg_lsn, to_lsn pg_lsn, again_on integer, again_from pg_lsn) stable
function _named_columns(path text[]) returns TABLE(relation oid, attnum smallint) stable
function _named_table(name text) returns regclass stable
function _note_checks() returns TABLE(name text, state text, message text, hint text, since timestamp with time zone, was text, changed boolean) security definer
function _option_problem(options jsonb) returns text immutable
function _own_bases() returns TABLE(backup_id text, start_lsn pg_lsn, stopped_at timestamp with time zone) security definer stable
function _own_line() returns TABLE(system_identifier bigint, timeline integer, to_lsn pg_lsn) security definer stable
function _pattern_regex(pattern text) returns text immutable
function _plan_schedule(name text, cron text, time_zone text, next_run_at timestamp with time zone, problem jsonb) returns void security definer
function _planned_schedules() returns TABLE(name text, cron text, time_zone text, next_run_at timestamp with time zone, after_at timestamp with time zone, now_at timestamp with time zone) security definer stable
function _policy_conditions(policy jsonb) returns TABLE(operator text, name text, value text, lowest text, highest text) immutable
function _position_by_standby() returns TABLE(standby text, durable_lsn pg_lsn, waits_since timestamp with time zone, streaming boolean) security definer stable
function _previous_dump(system_identifier bigint) returns text security definer stable
function _previous_manifest(system_identifier bigint) returns bytea security definer stable
function _previous_mark(system_identifier bigint, timeline integer, start_lsn pg_lsn, segment_bytes integer) returns text security definer stable
function _queue_base(label text, checkpoint text, schedule text) returns bigint
function _queue_dump(tables regclass[], schemas text[], label text, options jsonb) returns bigint security definer
function _rebuild_folders(system_identifier bigint) returns TABLE(what text, added bigint)
function _rebuild_job(kind text, label text, started_at timestamp with time zone, ended_at timestamp with time zone, raw_bytes bigint) returns bigint
function _rebuild_wal(system_identifier bigint) returns bigint
function _record_drill(drill jsonb) returns boolean security definer
function _record_gap(system_identifier bigint, timeline integer, to_lsn pg_lsn, reason text, running_begins_after boolean) returns pg_lsn security definer
function _record_kept(kept jsonb) returns bigint security definer
function _record_object(job_id bigint, kind text, key text, bytes bigint, raw_bytes bigint, sha256 bytea) returns void security definer
function _record_segments(system_identifier bigint, segments jsonb) returns text security definer
function _record_timeline(system_identifier bigint, timeline integer, history text, key text) returns void security definer
function _refuse_grant(reason text, server text, sqlstate_code text DEFAULT 'PB003'::text) returns void
function _remember_masked(covered jsonb) returns void security definer
function _report_at_risk(from_lsn pg_lsn, since timestamp with time zone) returns void security definer
function _report_facts(facts jsonb) returns void security definer
function _report_problem(component text, problem jsonb) returns void security definer
function _report_progress(job_id bigint, phase text, bytes_done bigint, bytes_total bigint, tables jsonb DEFAULT NULL::jsonb) returns void security definer
function _report_slot_made(lsn pg_lsn) returns void security definer
function _report_source(standby text) returns void security definer
function _resume_base_after_gap(system_identifier bigint) returns void security definer
function _rows_slot(slot text) returns text immutable
function _run_schedule(name text, due_at timestamp with time zone, following_at timestamp with time zone) returns text security definer
function _same_content(one bytea, other bytea) returns boolean immutable
function _scheduled_target(kind text, options jsonb) returns jsonb
function _segment_key(system_identifier bigint, timeline integer, start_lsn pg_lsn) returns text security definer stable
function _segment_name(timeline integer, start_lsn pg_lsn, segment_bytes integer) returns text immutable
function _server_timeline() returns integer stable
function _set_mask(column_name text, expression text) returns void security definer
function _set_schedule(name text, cron text, kind text, options jsonb, time_zone text) returns void security definer
function _setting_list() returns TABLE(setting text, default_value text, unit text, meaning text) immutable
function _setting_value(setting text) returns text security definer stable
function _shown_position() returns TABLE(timeline integer, durable_lsn pg_lsn, waits_since timestamp with time zone, streaming boolean) security definer stable
function _slot_made_at() returns pg_lsn security definer stable
function _start_base_after_gap(system_identifier bigint, timeline integer, lsn pg_lsn, reason text, running_begins_after boolean) returns void
function _start_worker(version text) returns integer security definer
function _stored_wal(since timestamp with time zone, at_most integer) returns TABLE(minute_at timestamp with time zone, bytes bigint, segments integer) security definer stable
function _try_expression(relation regclass, expression text, type_name text) returns boolean
function _wal_directory() returns text security definer stable
function _wal_holes(system_identifier bigint, timeline integer, before_lsn pg_lsn) returns TABLE(on_timeline integer, from_lsn pg_lsn, to_lsn pg_lsn) security definer stable
function _wal_position() returns TABLE(current_lsn pg_lsn, slot_exists boolean, streaming boolean, slot_state text, safe_wal_size bigint, durable_lsn pg_lsn, kept_bytes bigint, streaming_since timestamp with time zone, idle_since timestamp with time zone, waits_since timestamp with time zone, standby text) security definer stable
function _wal_written_at(lsn pg_lsn, current_lsn pg_lsn) returns timestamp with time zone stable
function _webhook() returns TABLE(url text, secret text, server text) security definer stable
function _worker_alive() returns boolean stable
function _worker_lock_key() returns bigint immutable
function _worker_report() returns TABLE(version text, started_at timestamp with time zone, problems jsonb, problem jsonb) security definer stable
function _worker_session() returns TABLE(pid integer, role_name name, is_worker boolean) security definer stable
function _written_by(system_identifier bigint, timeline integer, lsn pg_lsn) returns timestamp with time zone security definer stable
function can_restore_to(at timestamp with time zone) returns boolean security definer stable
function cancel(job_id bigint) returns boolean security definer
function configure(setting text, value text) returns void security definer
function install_grant("grant" jsonb) returns timestamp with time zone security definer
function mask(column_name text, expression text) returns void
function schedule(name text, cron text, kind text, options jsonb DEFAULT '{}'::jsonb, time_zone text DEFAULT 'UTC'::text) returns void
function start_base(label text DEFAULT NULL::text, checkpoint text DEFAULT 'fast'::text) returns bigint security definer
function start_dump(tables regclass[] DEFAULT NULL::regclass[], schemas text[] DEFAULT NULL::text[], label text DEFAULT NULL::text, options jsonb DEFAULT '{}'::jsonb) returns bigint
function unschedule(name text) returns boolean security definer
procedure wait(IN job_id bigint, IN timeout interval DEFAULT NULL::interval) security definer

grant execute on backup._at_risk() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_backups() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_drills() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_dumps_alone() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_grants() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_machine() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_schedules() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_slot() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_wal_backlog() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_wal_delay() to backup_monitor, backup_operator, backup_worker
grant execute on backup._check_worker() to backup_monitor, backup_operator, backup_worker
grant execute on backup._claim_job() to backup_worker
grant execute on backup._column(text[]) to backup_operator
grant execute on backup._column_path(text) to backup_operator
grant execute on backup._covers_wal(bigint,integer,pg_lsn,pg_lsn) to backup_worker
grant execute on backup._dump_selection(jsonb) to backup_worker
grant execute on backup._end_canceled(bigint) to backup_worker
grant execute on backup._enter_life() to backup_worker
grant execute on backup._expression_problem(text) to backup_operator
grant execute on backup._fail_job(bigint,jsonb,boolean) to backup_worker
grant execute on backup._finish_base(bigint,jsonb) to backup_worker
grant execute on backup._finish_dump(bigint,jsonb) to backup_worker
grant execute on backup._finish_segment(pg_lsn) to backup_worker
grant execute on backup._grant() to backup_worker
grant execute on backup._grant_in_use() to backup_monitor, backup_operator, backup_worker
grant execute on backup._is_cancel_requested(bigint) to backup_worker
grant execute on backup._is_synchronous(text) to backup_worker
grant execute on backup._knows_segment(bigint,integer,pg_lsn,bytea) to backup_worker
grant execute on backup._knows_timeline(bigint,integer,text) to backup_worker
grant execute on backup._masks() to backup_worker
grant execute on backup._matching(text[]) to backup_worker
grant execute on backup._note_checks() to backup_worker
grant execute on backup._own_bases() to backup_monitor, backup_operator, backup_worker
grant execute on backup._own_line() to backup_monitor, backup_operator, backup_worker
grant execute on backup._plan_schedule(text,text,text,timestamp with time zone,j to backup_worker
grant execute on backup._planned_schedules() to backup_worker
grant execute on backup._previous_dump(bigint) to backup_worker
grant execute on backup._previous_manifest(bigint) to backup_worker
grant execute on backup._previous_mark(bigint,integer,pg_lsn,integer) to backup_worker
grant execute on backup._queue_dump(regclass[],text[],text,jsonb) to backup_operator
grant execute on backup._record_drill(jsonb) to backup_worker
grant execute on backup._record_gap(bigint,integer,pg_lsn,text,boolean) to backup_worker
grant execute on backup._record_kept(jsonb) to backup_worker
grant execute on backup._record_object(bigint,text,text,bigint,bigint,bytea) to backup_worker
grant execute on backup._record_segments(bigint,jsonb) to backup_worker
grant execute on backup._record_timeline(bigint,integer,text,text) to backup_worker
grant execute on backup._remember_masked(jsonb) to backup_worker
grant execute on backup._report_at_risk(pg_lsn,timestamp with time zone) to backup_worker
grant execute on backup._report_facts(jsonb) to backup_worker
grant execute on backup._report_problem(text,jsonb) to backup_worker
grant execute on backup._report_progress(bigint,text,bigint,bigint,jsonb) to backup_worker
grant execute on backup._report_slot_made(pg_lsn) to backup_worker
grant execute on backup._report_source(text) to backup_worker
grant execute on backup._resume_base_after_gap(bigint) to backup_worker
grant execute on backup._rows_slot(text) to backup_monitor, backup_operator, backup_worker
grant execute on backup._run_schedule(text,timestamp with time zone,timestamp wi to backup_worker
grant execute on backup._segment_key(bigint,integer,pg_lsn) to backup_worker
grant execute on backup._segment_name(integer,pg_lsn,integer) to backup_monitor, backup_operator, backup_worker
grant execute on backup._set_mask(text,text) to backup_operator
grant execute on backup._set_schedule(text,text,text,jsonb,text) to backup_operator
grant execute on backup._setting_list() to backup_monitor, backup_operator, backup_worker
grant execute on backup._setting_value(text) to backup_monitor, backup_operator, backup_worker
grant execute on backup._slot_made_at() to backup_worker
grant execute on backup._start_worker(text) to backup_worker
grant execute on backup._stored_wal(timestamp with time zone,integer) to backup_worker
grant execute on backup._try_expression(regclass,text,text) to backup_operator
grant execute on backup._wal_directory() to backup_worker
grant execute on backup._wal_holes(bigint,integer,pg_lsn) to backup_worker
grant execute on backup._wal_position() to backup_monitor, backup_operator, backup_worker
grant execute on backup._webhook() to backup_worker
grant execute on backup._worker_alive() to backup_monitor, backup_operator, backup_worker
grant execute on backup._worker_lock_key() to backup_monitor, backup_operator, backup_worker
grant execute on backup._worker_report() to backup_monitor, backup_operator, backup_worker
grant execute on backup._worker_session() to backup_monitor, backup_operator, backup_worker
grant execute on backup._written_by(bigint,integer,pg_lsn) to backup_worker
grant execute on backup.can_restore_to(timestamp with time zone) to backup_monitor, backup_operator
grant execute on backup.cancel(bigint) to backup_operator
grant execute on backup.configure(text,text) to backup_operator
grant execute on backup.install_grant(jsonb) to backup_operator, backup_worker
grant execute on backup.lsn_multirange(backup.lsn_range) to backup_monitor, backup_operator, backup_worker
grant execute on backup.lsn_range(pg_lsn,pg_lsn) to backup_monitor, backup_operator, backup_worker
grant execute on backup.mask(text,text) to backup_operator
grant execute on backup.schedule(text,text,text,jsonb,text) to backup_operator
grant execute on backup.start_base(text,text) to backup_operator
grant execute on backup.start_dump(regclass[],text[],text,jsonb) to backup_operator
grant execute on backup.unschedule(text) to backup_operator
grant execute on backup.wait(bigint,interval) to backup_monitor, backup_operator
grant select on base_backups to backup_monitor, backup_operator, backup_worker
grant select on checks to backup_monitor, backup_operator, backup_worker
grant select on drills to backup_monitor, backup_operator, backup_worker
grant select on dumps to backup_monitor, backup_operator, backup_worker
grant select on grants to backup_monitor, backup_operator, backup_worker
grant select on jobs to backup_monitor, backup_operator, backup_worker
grant select on masks to backup_monitor, backup_operator, backup_worker
grant select on objects to backup_monitor, backup_operator, backup_worker
grant select on recovery_windows to backup_monitor, backup_operator, backup_worker
grant select on schedules to backup_monitor, backup_operator, backup_worker
grant usage on schema backup to backup_monitor, backup_operator, backup_worker
grant select on settings to backup_monitor, backup_operator, backup_worker
grant select on status to backup_monitor, backup_operator, backup_worker
grant select on wal_coverage to backup_monitor, backup_operator, backup_worker
grant select on wal_gaps to backup_monitor, backup_operator, backup_worker
