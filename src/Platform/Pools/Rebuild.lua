-- One step of rebuilding a pool lane from SQL and the queue. Until the last step the lane answers 'F' to everybody else.
--
-- KEYS  1 meta   2 left   3 holders   4 log   5 handed
-- ARGV  1 step   2 token
--   'freeze': 3 now (Unix ms, by this server's clock)   4 lease (ms): a freeze whose last beat is older was left by a dead rebuilder and is taken over
--             5 run: a freeze of another life of the server is taken over at once; whoever set it finds its token gone
--   'takeover': the same, but only of a pool that is frozen
--   'beat':   3 now as above: whoever rebuilds is alive; 0: has given up, and need not be waited for
--   'hold':   then two for each user: user, entries
--   'requeue': then queue entries that SQL has lost
--   'thaw':   3 run  4 version  5 gate  6 opensAt  7 closesAt  8 limit  9 capacity  10 left  11 refillsMin  12 generation
--             refillsMin: now (Unix ms), so that the count never repeats, even in a pool that was lost with it
-- Answer: 1 done; 0 somebody else rebuilds (freeze), or has taken the freeze over (the others): stop
local frozen = redis.call('HMGET', KEYS[1], 'frozen', 'frozenAt', 'refills', 'frozenIn')
if ARGV[1] == 'freeze' or ARGV[1] == 'takeover' then
  if frozen[1] and frozen[1] ~= '' then
    -- Whoever looked at the clock first may come second, so a little below zero is young too; far below, the clock was set back and says nothing.
    local age = math.abs(tonumber(ARGV[3]) - tonumber(frozen[2]))
    if frozen[1] ~= ARGV[2] and frozen[4] == ARGV[5] and age < tonumber(ARGV[4]) then return 0 end
  elseif ARGV[1] == 'takeover' then return 0 end
  redis.call('HSET', KEYS[1], 'frozen', ARGV[2], 'frozenAt', ARGV[3], 'frozenIn', ARGV[5])
  redis.call('DEL', KEYS[3])
  return 1
end
if frozen[1] ~= ARGV[2] then return 0 end
if ARGV[1] == 'beat' then
  redis.call('HSET', KEYS[1], 'frozenAt', ARGV[3])
  return 1
end
if ARGV[1] == 'hold' then
  redis.call('HSET', KEYS[3], unpack(ARGV, 3))
  return 1
end
if ARGV[1] == 'requeue' then
  redis.call('RPUSH', KEYS[4], unpack(ARGV, 3))
  return 1
end
redis.call('SET', KEYS[2], ARGV[10])
redis.call('HSET', KEYS[1], 'run', ARGV[3], 'version', ARGV[4], 'gate', ARGV[5], 'opensAt', ARGV[6], 'closesAt', ARGV[7], 'limit', ARGV[8],
  'capacity', ARGV[9], 'refills', math.max(tonumber(frozen[3] or '0') + 1, tonumber(ARGV[11])), 'generation', ARGV[12], 'frozen', '')
redis.call('DEL', KEYS[5])
return 1
