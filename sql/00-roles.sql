-- Roles belong to the cluster, not to this database: another install may be making them at this moment,
-- and the unique index then lets us wait for it and raises. None of them can log in.
do $$
declare
    role_name text;
    meaning text;
begin
    for role_name, meaning in
        values ('backup_operator', 'Postbox: may start, cancel and configure backups.'),
               ('backup_monitor', 'Postbox: may read the views of the schema backup.'),
               ('backup_worker', 'Postbox: what the worker logs in as a member of; it also needs REPLICATION.')
    loop
        continue when exists (select from pg_catalog.pg_roles r where r.rolname = role_name);
        begin
            execute format('create role %I nologin', role_name);
            execute format('comment on role %I is %L', role_name, meaning);
        exception
            when duplicate_object or unique_violation then null;
        end;
    end loop;
end
$$;

comment on schema backup is
    'Postbox: backups to S3 without an S3 key on this server. Tables are private: use functions and views.';
