-- Gives units back to one pool lane. Idempotent by claim id: SQL has decided before that these claims are released, and may say so often.
--
-- KEYS  1 meta   2 left   3 holders   (as in Claim.lua)
-- ARGV  1 run, then two for each claim: user, id
-- Answer: one letter for each claim: R returned now, D done before, U unknown here; or 'F' frozen / 'M' missing: nothing done, ask again later
local meta = redis.call('HMGET', KEYS[1], 'run', 'frozen')
if not meta[1] or meta[1] ~= ARGV[1] then return 'M' end
if meta[2] and meta[2] ~= '' then return 'F' end

local letters, back = {}, 0
for i = 2, #ARGV, 2 do
  local user, id = ARGV[i], ARGV[i + 1]
  local had = ';' .. (redis.call('HGET', KEYS[3], user) or '')
  local from, to = string.find(had, ';' .. id .. ',', 1, true)
  local letter = 'U'
  if from then
    local units = string.match(had, '^(%d+),', to + 1)
    redis.call('HSET', KEYS[3], user, string.sub(had, 2, from) .. '-' .. string.sub(had, from + 1))
    back = back + tonumber(units)
    letter = 'R'
  elseif string.find(had, ';-' .. id .. ',', 1, true) then
    letter = 'D'
  end
  letters[#letters + 1] = letter
end

if back > 0 then
  redis.call('INCRBY', KEYS[2], back)
  redis.call('HINCRBY', KEYS[1], 'refills', 1)     -- the nodes' sold-out flags carry this number
end
return table.concat(letters)
