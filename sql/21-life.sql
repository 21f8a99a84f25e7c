create or replace function backup._life()
    -- which restores this server, or what it is a copy of, has gone through; empty: none that is known
    returns text
    language plpgsql
    stable
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    -- "postbox restore" leaves it in postgresql.auto.conf, from where it goes on to standbys.
    restored text := coalesce(current_setting('postbox.restored', true), '');
    history text;
begin
    if pg_is_in_recovery() then
        return restored;
    end if;
    -- Of a restore by hand to a point in time the history of the timeline tells; of a promoted standby it says nothing.
    history := pg_read_file(
        format('pg_wal/%s.history', left(pg_walfile_name(pg_current_wal_lsn()), 8)), 0, 1048576, true);
    return concat_ws(' ', nullif(restored, ''), (
        select string_agg(concat_ws('@', l.part[1], l.part[2]), ' ' order by l.n)
        from (
            select regexp_match(t.line, '^\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)\s+(.*\S)') as part, t.n
            from regexp_split_to_table(history, '\r?\n') with ordinality t (line, n)
        ) l
        where l.part[3] <> 'no recovery target specified'));
exception
    -- An owner who is no superuser cannot read the file, and it may be gone.
    when insufficient_privilege or undefined_file then
        return restored;
end
$$;

comment on function backup._life() is 'Tells a restored server from the one that was backed up, and not a promoted standby.';

create or replace function backup._enter_life()
    -- no row: the last worker of this catalog worked on the same server. Else how many of its jobs were ended
    returns table (ended integer)
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    now_in text := backup._life();
    last_in text := (select w.life from backup._worker w);
begin
    if last_in is not distinct from now_in then
        return;
    end if;
    -- What the last worker said of itself, and what it knew to wait, was said of the server that was backed up.
    update backup._worker w
    set life = now_in, problems = '{}', at_risk_from = null, at_risk_since = null, standby = null;
    if last_in is null then
        return;
    end if;
    update backup._job j
    set state = 'failed', ended_at = now(), error = jsonb_build_object(
        'code', 'server_restored',
        'message', format('job %s ran on the server that was backed up, before this one was restored from it', j.job_id),
        'hint', 'Start it again if it is wanted here. What it has stored is in the bucket: '
                '"postbox rebuild-catalog" brings the catalog up to that.')
    where j.state = 'running';
    get diagnostics ended = row_count;
    return next;
end
$$;

comment on function backup._enter_life() is
    'See whether the server was restored since its last worker began, and end what that one left running.';
