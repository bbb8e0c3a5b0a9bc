-- One request of somebody who has used up this node's part of their limit: GCRA on the clock of the server, shared by all nodes.
--
-- KEYS  1 string: the theoretical arrival time of the next request, in microseconds; gone when it is past
-- ARGV  1 microseconds for one request in the long run   2 microseconds that it may be ahead of the clock
-- Answer: 0 admitted, else the microseconds to wait; then nothing was changed
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if due - now > tonumber(ARGV[2]) then return due - now - tonumber(ARGV[2]) end
due = due + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', string.format('%.0f', math.ceil((due - now) / 1000) + 1))
return 0
