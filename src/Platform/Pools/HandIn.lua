-- Hands in what a node has acknowledged, while the pool is lost, of another life, or being rebuilt: the rebuild counts it before the pool opens again.
--
-- KEYS  1 meta   2 handed   (hash: id -> queue entry; the end of the rebuild deletes it)
-- ARGV  1 run, then two for each claim: id, queue entry
-- Answer: 1 handed in; 0 the pool is open in this life: nothing was done
local meta = redis.call('HMGET', KEYS[1], 'run', 'frozen')
if meta[1] == ARGV[1] and not (meta[2] and meta[2] ~= '') then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1
