-- Drops a batch that SQL has committed from the head of a partition, and keeps it in the journal.
--
-- KEYS  1 log   2 journal
-- ARGV  1 first entry of the batch   2 entries in the batch   3 entries that the journal may hold   4 last entry of the batch
-- Answer: 1 dropped; 0 somebody else was faster, and nothing was done: entries are unique, so another head means another batch.
-- The last entry too: after a failover the batch may begin as it did on the server that it was peeked on, and end with claims that came later.
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] or redis.call('LINDEX', KEYS[1], ARGV[2] - 1) ~= ARGV[4] then return 0 end
local keep = tonumber(ARGV[3])
if keep > 0 then
  redis.call('RPUSH', KEYS[2], unpack(redis.call('LRANGE', KEYS[1], 0, ARGV[2] - 1)))
  redis.call('LTRIM', KEYS[2], -keep, -1)
end
redis.call('LTRIM', KEYS[1], ARGV[2], -1)
return 1
