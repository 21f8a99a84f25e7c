-- Of an older server's subscriptions, a pg_dump that is newer than it says what that server does not understand.
create subscription sub connection 'host=nowhere password=''it\''s''' publication "some", "o ther" with (connect = false, slot_name = 'sl', binary, streaming);
create subscription no_slot connection '' publication x with (connect = false, slot_name = none, synchronous_commit = 'local');
comment on subscription sub is 'a subscription';
