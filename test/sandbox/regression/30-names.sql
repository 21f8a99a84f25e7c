-- Names that only quotes can hold: what reads them must take nothing in them for SQL, a pattern, a path or a line's end.
create schema "we ird "".é
x; drop"; create schema "Upper,Case.dot"; create schema "begin"; create schema "%s\t$$/../'"; create role "role ""; é
x, y";
grant usage, create on schema "Upper,Case.dot" to "role ""; é
x, y" with grant option; alter schema "%s\t$$/../'" owner to "role ""; é
x, y";
create type "we ird "".é
x; drop"."ty,pe ""." as enum ('a''b', 'c"d', 'e
f'); create domain "Upper,Case.dot"."do main" as "we ird "".é
x; drop"."ty,pe "".";
create sequence "we ird "".é
x; drop"."se'q "".; -- x"; select setval('"we ird "".é
x; drop"."se''q "".; -- x"', 77);
create table "we ird "".é
x; drop"."t able % ""; (\.
)" ("a ""b"";
c" int generated always as identity primary key, "select" "we ird "".é
x; drop"."ty,pe "".", "COPY x FROM stdin;
" text default 'x;
\.
', "*" int default nextval('"we ird "".é
x; drop"."se''q "".; -- x"'), "é
" text collate "C", constraint "che;ck ""
" check ("*" > 0));
insert into "we ird "".é
x; drop"."t able % ""; (\.
)" ("select", "é
") values ('a''b', 'one'), ('e
f', E'\\.\n\\.'), (null, null);
create table "Upper,Case.dot"."ref,erring.table" ("from" int references "we ird "".é
x; drop"."t able % ""; (\.
)", "references" text, "on" "Upper,Case.dot"."do main", "table" int); insert into "Upper,Case.dot"."ref,erring.table" values (1, 'x', 'c"d', 2);
create index "in ""dex"" on;
x" on "Upper,Case.dot"."ref,erring.table" ("on", ("references" || '; on "x".y')); create index on "Upper,Case.dot"."ref,erring.table" ("table", "from");
comment on index "Upper,Case.dot"."in ""dex"" on;
x" is 'an index; -- Name: x; Type: TABLE; Schema: y;
\connect other'; comment on table "we ird "".é
x; drop"."t able % ""; (\.
)" is E'a ''comment'';\n\n--\n-- Name: x; Type: DATABASE; Schema: -; Owner: y\n--\n\\.\n\\connect template1\n$$ " é'; comment on column "we ird "".é
x; drop"."t able % ""; (\.
)"."a ""b"";
c" is 'of a column';
create statistics "Upper,Case.dot"."sta.ts" on "from", "table" from "Upper,Case.dot"."ref,erring.table";
create function "Upper,Case.dot"."func, tion"("in ""arg" int, variadic "var" text[]) returns table ("out ""x" int, "or" text) language sql as $body$ select 1, 'a;b' -- ' $x$ " $body$;
create function "begin"."begin"("end" int, begin int) returns int language sql begin atomic select case when "end" > 1 then case begin when 1 then 2 end else begin end; end;
create function "begin".atomic(begin int) returns int language sql return begin + case when begin > 1 then 1 else 0 end;
create procedure "begin"."case"() language sql begin atomic insert into "Upper,Case.dot"."ref,erring.table" ("table") values (1); delete from "Upper,Case.dot"."ref,erring.table" where "table" = 1; end;
create trigger "tri ""gger on;
" after update of "on", "from" on "Upper,Case.dot"."ref,erring.table" for each row when (old."from" is distinct from new."from") execute function suppress_redundant_updates_trigger('it''s; "a"', 'b');
create rule "ru le to;" as on update to "Upper,Case.dot"."ref,erring.table" where old."table" > 100 do also (select 1; delete from "Upper,Case.dot"."ref,erring.table" where "table" is null);
create policy "po licy on;" on "Upper,Case.dot"."ref,erring.table" as restrictive for update to "role ""; é
x, y" using ("references" = 'x;') with check (true);
create view "Upper,Case.dot"."vi ew" as select "on" as "a;b", 'x
;' as "c" from "Upper,Case.dot"."ref,erring.table"; comment on trigger "tri ""gger on;
" on "Upper,Case.dot"."ref,erring.table" is 'on'; comment on rule "ru le to;" on "Upper,Case.dot"."ref,erring.table" is 'to'; comment on policy "po licy on;" on "Upper,Case.dot"."ref,erring.table" is 'on';
create table "begin"."table" ("begin" int, "atomic" int, "end" int) partition by range ("begin"); create table "begin"."part, ition" partition of "begin"."table" for values from (0) to (10);
insert into "begin"."table" values (1, 2, 3); create table "%s\t$$/../'"."%2F\/..$1'" ("\t" text, "\\." text, "$1" text, "%I" text); insert into "%s\t$$/../'"."%2F\/..$1'" values ('a', E'\t', '\', '%');
create table "%s\t$$/../'".sixtythree_sixtythree_sixtythree_sixtythree_sixtythree_sixtythr (aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg int); create table "begin"."éééééééééééééééééééééééééééééé" (a int primary key);
grant select ("on", "from"), update ("table") on "Upper,Case.dot"."ref,erring.table" to "role ""; é
x, y"; alter table "%s\t$$/../'"."%2F\/..$1'" owner to "role ""; é
x, y"; grant all on sequence "we ird "".é
x; drop"."se'q "".; -- x" to public;
create publication "pub ""lication;" for table "Upper,Case.dot"."ref,erring.table" ("from", "table") where ("table" > 5 and "from" is not null) with (publish = 'insert');
