-- What masks have covered: a name can come to mean another column, and a table can leave its family, with all that it holds.
create table backup._masked_column (
    relation oid      not null,
    attnum   smallint not null,
    masked   text     not null,
    catalog  oid      not null,

    constraint masked_column_pk primary key (relation, attnum)
);

comment on table  backup._masked_column is 'Columns that were masked once, whatever they are called now. Private.';
comment on column backup._masked_column.masked is 'Full name of the column whose mask covered it last.';
comment on column backup._masked_column.catalog is
    'Of this table itself: in a copy made by pg_dump it is another, and the oids there mean nothing.';

-- It gives more columns now.
drop function if exists backup._masks();
