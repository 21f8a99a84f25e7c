alter table backup._dump add column warnings text[] not null default '{}';

comment on column backup._dump.warnings is 'What pg_dump warned of, and what a masked dump left out.';
