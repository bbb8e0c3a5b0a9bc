-- The right to carry a topic's entries to the broker, for a while. Two who have it at once publish some entries twice, which changes nothing.
--
-- KEYS  1 lease: who has it
-- ARGV  1 who asks   2 for how long (ms)
-- Answer: 1 yours, 0 somebody else's
local by = redis.call('GET', KEYS[1])
if by and by ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
