-- Announces a node, unless another live node has its number. The server's clock is the only one that counts here.
-- KEYS[1] {sluice}:nodes, a hash: number of the node → "ms seen | life of the process | address | description (JSON)"
-- ARGV[1] number  ARGV[2] life  ARGV[3] address  ARGV[4] description  ARGV[5] ms after which a silent node does not count
-- Answer: '' announced; else the address of the live node that has the number
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  local seen, life, address = string.match(known, '^(%d+) (%S+) (%S+) ')
  -- The same address is the same place: its former process is gone, or this one could not listen.
  if seen and life ~= ARGV[2] and address ~= ARGV[3] and now - tonumber(seen) < tonumber(ARGV[5]) then
    return address
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
return ''
