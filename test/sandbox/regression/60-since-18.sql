-- What only Postgres 18 and later have.
create schema since_18;
set search_path = since_18;
create table virtual (a int, b int generated always as (a * 2), c int generated always as (a + 1) virtual, d int generated always as (a * 3) stored);
insert into virtual (a) values (1), (null);
create table temporal (id int4range, at daterange, primary key (id, at without overlaps));
insert into temporal values ('[1,2)', '[2026-01-01,2026-02-01)');
create table of_temporal (id int4range, at daterange, foreign key (id, period at) references temporal (id, period at));
create table unenforced (n int constraint loose check (n > 0) not enforced, r int);
alter table unenforced add constraint nn not null r not valid;
insert into unenforced (n, r) values (-1, 1);
create table named (n int constraint "not; null" not null, m int not null no inherit);
create table named_child (constraint own not null n) inherits (named);
comment on constraint "not; null" on named is 'named';
create table target (id int primary key);
create table refers (r int references target not enforced);
insert into refers values (7);
create publication generated for table virtual with (publish_generated_columns = stored);
reset search_path;
