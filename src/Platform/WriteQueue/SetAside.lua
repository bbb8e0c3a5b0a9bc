-- Moves an entry from wherever it is in a log to the dead letters.
--
-- Appended before it is taken off: a server that dies in between shows it twice, which the unique keys absorb, and never not at all.
--
-- KEYS  1 log   2 dead letters
-- ARGV  1 the entry   2 letters that the list may hold   3 the letter
-- Answer: 1 moved, 0 it is not in the log, -1 the dead letters are full
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[2]) then return -1 end
redis.call('RPUSH', KEYS[2], ARGV[3])
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then return 1 end
redis.call('RPOP', KEYS[2])
return 0
