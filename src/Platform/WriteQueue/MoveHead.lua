-- Moves the head of one list to the tail of another, in another form, if it still is what the caller saw:
-- log → dead letters (quarantine), dead letters → log (replay).
--
-- Appended before it is taken off: a server that dies in between shows it twice, which the unique keys absorb, and never not at all.
--
-- KEYS  1 from   2 to
-- ARGV  1 the head as seen   2 entries that the other list may hold   3 what to append to it, also when that is ''; absent = discard
-- Answer: 1 moved, 0 the head is another one by now, -1 the other list is full
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return 0 end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[2]) then return -1 end
if ARGV[3] then redis.call('RPUSH', KEYS[2], ARGV[3]) end
redis.call('LPOP', KEYS[1])
return 1
