-- Keeps an answer if the lease under which it was read still stands.
--
-- KEYS  1 the key
-- ARGV  1 lease   2 the answer, or another lease   3 age in ms
-- Answer: 1, or 0 when the lease does not stand any more
--
-- A change drops the lease with everything else, so what was read before the change finds none and is not kept.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
