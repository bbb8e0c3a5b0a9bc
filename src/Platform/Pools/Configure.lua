-- Brings one pool lane to the settings that SQL has: gate, times, limit, capacity. Idempotent and safe in any order: an older version changes nothing.
--
-- KEYS  1 meta   2 left
-- ARGV  1 run   2 version   3 gate   4 opensAt   5 closesAt   6 limit   7 capacity   (times in Unix ms or '')
-- Answer: 'A' applied, 'O' an older version than what is there, 'L' fewer units left than the capacity goes down (nothing done), 'F' frozen, 'M' missing or of another life
local meta = redis.call('HMGET', KEYS[1], 'run', 'frozen', 'version', 'capacity')
if not meta[1] or meta[1] ~= ARGV[1] then return 'M' end
if meta[2] and meta[2] ~= '' then return 'F' end
if tonumber(ARGV[2]) <= tonumber(meta[3]) then return 'O' end
local more = tonumber(ARGV[7]) - tonumber(meta[4])
if more < 0 and tonumber(redis.call('GET', KEYS[2])) + more < 0 then return 'L' end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'gate', ARGV[3], 'opensAt', ARGV[4], 'closesAt', ARGV[5], 'limit', ARGV[6], 'capacity', ARGV[7])
redis.call('HINCRBY', KEYS[1], 'refills', 1)
if more ~= 0 then redis.call('INCRBY', KEYS[2], more) end
return 'A'
