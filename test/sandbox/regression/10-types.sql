-- Every built-in type that a table may have, with its odd values: nothing of them may change on the way.
create schema types;
set search_path = types;

create table number (n1 smallint, n2 int, n3 bigint, n4 numeric, n5 numeric(30, 10), n6 numeric(3, -2), n7 real, n8 float8, n9 money, b bool);
insert into number values
    (-32768, -2147483648, -9223372036854775808, 'NaN', 'NaN', 12300, 'NaN', 'NaN', '-92233720368547758.08', true),
    (32767, 2147483647, 9223372036854775807, 'Infinity', 0.0000000001, -99900, 'Infinity', 'Infinity', '92233720368547758.07', false),
    (0, 0, 0, '-Infinity', -99999999999999999999.9999999999, 0, '-Infinity', '-Infinity', 0, null),
    (1, 1, 1, repeat('9', 100000)::numeric, 1, 100, 1.17549435e-38, 2.2250738585072014e-308, 1, true),
    (1, 1, 1, ('0.' || repeat('0', 16000) || '1')::numeric, 1, 100, '-0', '-0', 1, true),
    (1, 1, 1, 1.50000, 1, 100, 0.1, 0.1 + 0.2, 1, true), (null, null, null, null, null, null, null, null, null, null);

create table text_like (t text, v varchar(5), c char(5), n name, ch "char", b bytea, x xml, bi bit(5), vb bit varying(9));
insert into text_like (t, v, c, n, ch) values
    ('', '', '', '', ''), (E'tab\tline\nreturn\rback\\slash\b\f\v', E'\\N', E'\\.', E'"''', E'\\'),
    (E'\\.', E'\\.', E'\\N', 'null', 'é'), (E'\\N', 'NULL', 'null', '\x', '\377'), (null, null, null, null, null),
    (E'\x01\x02\x7f', 'é€', '😀', '名前', '"'), (E'ends with a return\r', E'\n', E'\n\n', ',', ','), ('copy from stdin;', ';', '--', '$$', '$'),
    (E'\r\n\\.\r\n', '', '', '', ''), (repeat('long ', 100000), 'x', 'x', repeat('n', 63), 'x');
insert into text_like (b, x, bi, vb) values
    ('', '<a>é</a>', '10101', ''), ('\x00ff5c0a0d09', 'text <b/> only', '00000', '111111111'), ('\x', '<?xml version="1.0"?><r/>', '11111', '0');
insert into text_like (b) select decode(string_agg(lpad(to_hex(n), 2, '0'), ''), 'hex') from generate_series(0, 255) n;

create table moment (d date, t time, tz timetz, ts timestamp(3), tstz timestamptz, i interval, i2 interval year to month);
set timezone = 'Europe/Berlin';
insert into moment values
    ('infinity', '24:00', '23:59:59.999999-15:59', 'infinity', 'infinity', '178000000 years', '1 year 2 months'),
    ('-infinity', '00:00', '00:00+15:59', '-infinity', '-infinity', '-178000000 years', '-1 month'),
    ('4713-01-01 BC', '12:34:56.789', '12:00+01', '4713-01-01 00:00 BC', '4713-01-02 00:00 BC', '-1 year 2 days -03:04:05.000006', '0'),
    ('5874897-12-31', '12:34', '12:00-00:30', '294276-12-31 23:59:59.999', '294276-12-31 12:00', '1 day -1 microsecond', null),
    ('1883-11-18', '12:34', '12:00', '1883-11-18', '1880-01-01 00:00', '00:00:00', null), (null, null, null, null, null, null, null);
reset timezone;

create table place (p point, l line, s lseg, b box, pa path, po polygon, c circle);
insert into place values
    ('(1,2)', '{1,-1,0}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),5>'),
    ('(NaN,Infinity)', '{0.1,0.2,0.3}', '[(1e300,-1e300),(0.1,0.2)]', '(Infinity,1),(0,-Infinity)', '((0,0),(1,1))', '((0,0))', '<(0.1,0.2),0>');

create table net (i inet, c cidr, m macaddr, m8 macaddr8, u uuid, j json, jb jsonb, jp jsonpath, l pg_lsn, x xid, x8 xid8, ci cid, ti tid, s pg_snapshot, ts txid_snapshot);
insert into net values
    ('192.168.0.1/24', '10/8', '08:00:2b:01:02:03', '08:00:2b:ff:fe:01:02:03', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
     E'{"a" : 1,\n "a": 2, "é": "\\u00e9\\n"}', '{"b": [1, null, 1e400, "\\\\"], "a": {}}', '$."a b"[*] ? (@ > 1)', 'FFFFFFFF/FFFFFFFF', '4294967295',
     '18446744073709551615', '7', '(4294967295,65535)', '10:20:10,14,15', '10:20:10'),
    ('::1', '2001:db8::/32', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', '00000000-0000-0000-0000-000000000000',
     'null', 'null', 'strict $', '0/0', '0', '0', '0', '(0,0)', '1:1:', '1:1:');

create table search (v tsvector, q tsquery, re regclass, rp regproc, rt regtype, rr regrole, rn regnamespace, ro regoper, rc regconfig, rd regdictionary, o oid, ov oidvector, iv int2vector, ac aclitem);
insert into search values (to_tsvector('english', 'The fat cats'' ate "rats":A \ '), 'fat:ab & !(cat <2> ''it''''s'':*)', 'pg_catalog.pg_class', 'now',
    'int4', 'pg_monitor', 'pg_catalog', 'pg_catalog.||/', 'english', 'simple', 4294967295, '1 2 3', '-1 2', 'postgres=r/postgres'), ('', '', null, null, null, null, null, null, null, null, 0, '', '', null);

create table many (i int[], t text[], n numeric[][], r int4range, nr numrange, tr tstzrange, dr daterange, im int4multirange, nm nummultirange, tm tsmultirange, ra int8range[], b bytea[], j jsonb[], e text[] [3]);
insert into many values
    ('{}', '{}', '{}', 'empty', '(,)', '["2026-01-01 00:00+00",infinity)', '[-infinity,2026-01-01)', '{}', '{[1,2),(5,7.5]}', '{[2026-01-01,2026-01-02)}', '{"[1,3)",empty}', '{}', '{}', '{}'),
    ('{1,NULL,-1}', E'{NULL,"NULL","","a,b","\\"q\\"","\\\\","{}","tab\t","line\nfeed"}', '{{1,2},{NaN,NULL}}', '[1,10)', '[0.1,0.10]', null, null, '{[1,3),[5,9)}', '{(,)}', null, null, E'{"\\\\x00ff"}', E'{"{\\"a\\": \\"b,c\\"}"}', '{a}'),
    ('[5:7]={1,2,3}', '[-1:0][2:3]={{a,b},{c,d}}', null, '(,5]', '(1,2)', null, null, null, null, null, null, null, null, null);

create type mood as enum ('before all', 'sad', 'it''s ok', 'größer', 'with "quotes"', 'a,b\c'); create type grown as enum ('b'); alter type grown add value 'a' before 'b';
create type pair as (a int, "B b" text, m mood, ar int[]); create type nested as (p pair, ps pair[], d date);
create domain positive as int constraint "above zero" check (value > 0) default 7 not null; create domain deep as positive check (value < 1000);
create domain word as text collate "C" check (value ~ '^\w+$'); create domain pairs as pair[] check (cardinality(value) < 5); comment on domain deep is 'of a domain';
create type float_range as range (subtype = float8, subtype_diff = float8mi, multirange_type_name = float_many); create type shell;
comment on constraint "above zero" on domain positive is 'it''s positive';
create table own (m mood, ms mood[], p pair, n nested, d positive, dd deep, w word, ps pairs, f float_range, fm float_many) ;
insert into own values ('before all', '{sad,"it''s ok","with \"quotes\"","a,b\\c",NULL}', row(1, E'a"b\\c,()\n', 'größer', '{1,NULL}'),
    row(row(null, '', null, null), array[row(1, null, 'sad', '{}')::pair, null], 'infinity'), 1, 999, 'w', array[row(1, '{"', null, null)::pair], '[1.5,infinity]', '{[1,2),[3,4)}'),
    (null, null, row(null, null, null, null), null, default, 5, null, null, 'empty', '{}');

-- A base type of its own, by functions that are there.
create function own_in(cstring) returns shell language internal immutable strict as 'textin';
create function own_out(shell) returns cstring language internal immutable strict as 'textout';
create type shell (input = own_in, output = own_out, like = text, category = 'S', storage = external, alignment = int4); create type only_shell;
create table of_shell (s shell, a shell[]); insert into of_shell values (E'a\tb\\', E'{"x,y","\\""}');

-- Out of line, compressed and not, and larger than one frame.
create table toasted (id int, plain text, external text, packed text compression pglz, b bytea);
alter table toasted alter plain set storage main, alter external set storage external, alter b set storage extended;
insert into toasted select n, repeat('p', 3000), (select string_agg(md5(n::text || m), '') from generate_series(1, 1000) m), repeat('é', 200000),
    decode(repeat('00ff0a5c', 50000), 'hex') from generate_series(1, 20) n;
insert into toasted values (100, repeat(E'\\\n\t', 1000000), null, null, null);
reset search_path;
