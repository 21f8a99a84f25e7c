create or replace function backup._record_drill(
    -- as the issuer passes it on: {postbox_drill: 1, server, system_identifier, backup_id, target, started_at, finished_at, ok, ...}
    drill jsonb
)
    -- whether it was new
    returns boolean
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    if drill ->> 'postbox_drill' is distinct from '1' or drill ->> 'backup_id' is null or drill ->> 'finished_at' is null then
        raise exception using
            errcode = 'PB001', message = 'this is no result of a drill',
            hint = 'The issuer passes on what "postbox drill" stored.';
    end if;
    insert into backup._drill
        (server, system_identifier, backup_id, target, started_at, finished_at, ok, problem, restore_seconds,
         recovery_seconds, restored_bytes, checks)
    select d.server, d.system_identifier, d.backup_id, d.target, d.started_at, d.finished_at, d.ok, d.problem,
           d.restore_seconds, d.recovery_seconds, d.restored_bytes, d.checks
    from jsonb_populate_record(null::backup._drill, drill) d
    on conflict on constraint drill_once do nothing;
    return found;
end
$$;

comment on function backup._record_drill(jsonb) is 'Note a drill of the keyholder. The same one again is nothing new.';

create or replace view backup.drills as
select d.drill_id, d.server, d.backup_id, d.target, d.started_at, d.finished_at, d.ok, d.problem, d.restore_seconds,
       d.recovery_seconds, d.restored_bytes, d.checks, d.system_identifier
from backup._drill d;

comment on view backup.drills is 'Restores that the keyholder carried out to see whether they work.';
comment on column backup.drills.drill_id is 'Number of the drill here.';
comment on column backup.drills.server is 'Whose backup it was.';
comment on column backup.drills.backup_id is 'The backup that was restored.';
comment on column backup.drills.target is 'How far it was recovered, such as latest.';
comment on column backup.drills.started_at is 'When the drill began, by the keyholder''s clock.';
comment on column backup.drills.finished_at is 'When it ended.';
comment on column backup.drills.ok is 'Whether it was restored, started, and every check was good.';
comment on column backup.drills.problem is 'Why it could not be restored or started; null: it could.';
comment on column backup.drills.restore_seconds is 'Time to fetch and unpack the backup.';
comment on column backup.drills.recovery_seconds is 'Time until recovery had ended.';
comment on column backup.drills.restored_bytes is 'Size of what was restored.';
comment on column backup.drills.checks is 'Each with name, ok and what was seen.';
comment on column backup.drills.system_identifier is 'As pg_control_system() shows it.';
