-- Claims units of one pool lane for many users in one call. docs/oversell.md walks through it.
--
-- KEYS  1 meta     hash: run, gate, frozen, opensAt, closesAt, limit, refills, generation   (times in Unix ms)
--       2 left     integer >= 0: units nobody has
--       3 holders  hash: user -> "<id>,<units>,<key>;" for each claim, oldest first; a released one starts with "-"; where there are terms, "<key>,<terms>"
--       4 log      list: "1,<user>,<id>,<units>,<key>", or "2,…,<key>,<terms>", for each claim that SQL does not have yet
-- ARGV  1 run      the life of the server that the caller knows      2 lagMax  entries that the log may hold
--       then four for each claim: user, units, id, key ('' = none) or "<key>,<terms>"
-- Answer: { one letter for each claim, left, refills, generation, then for each S "<id>,<units>,<key>[,<terms>]" as it stands with the user, for each K L the claims that the user has }
--   A accepted   S seen: same claim as before   K key used with other units   L limit   X not enough units left
--   N not open yet   C closed   P paused   F frozen: being rebuilt   M missing or of another life: rebuild first   Q log full
--
-- A server that dies in the middle may come back with only the first of the writes below. So the log is written first: whatever is
-- in it is a claim, and holders and left are rebuilt from it (Rebuild.cs).
local meta = redis.call('HMGET', KEYS[1], 'run', 'gate', 'frozen', 'opensAt', 'closesAt', 'limit', 'refills', 'generation')
local count = (#ARGV - 2) / 4
if not meta[1] or meta[1] ~= ARGV[1] then return { string.rep('M', count), 0, 0, 0 } end
if meta[3] and meta[3] ~= '' then return { string.rep('F', count), 0, 0, 0 } end

local limit, refills = tonumber(meta[6]), tonumber(meta[7])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local shut = false
if meta[2] == 'paused' then shut = 'P'
elseif meta[2] == 'closed' or (meta[5] ~= '' and now >= tonumber(meta[5])) then shut = 'C'
elseif meta[2] ~= 'open' or (meta[4] ~= '' and now < tonumber(meta[4])) then shut = 'N' end

local users = {}
for i = 1, count do users[i] = ARGV[4 * i - 1] end
local found = redis.call('HMGET', KEYS[3], unpack(users))
local left = tonumber(redis.call('GET', KEYS[2]) or '0')
local room = tonumber(ARGV[2]) - redis.call('LLEN', KEYS[4])

local taken, log, letters, details, fresh = 0, {}, {}, {}, {}
for i = 1, count do
  local at = 4 * i - 1
  local user, units, key = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 3]
  local had = fresh[user] or found[i] or ''     -- fresh: the same user earlier in this very call
  local letter = false
  local active, claims = 0, 0
  local comma = string.find(key, ',', 1, true)
  if had ~= '' then
    local name = comma and string.sub(key, 1, comma - 1) or key
    for dead, id, n, k, terms in string.gmatch(had, '(%-?)(%d+),(%d+),([^,;]*)([^;]*);') do
      if name ~= '' and k == name then
        if tonumber(n) == units then
          letter = 'S'
          details[#details + 1] = dead .. id .. ',' .. n .. ',' .. k .. terms
        else
          letter = 'K'
          details[#details + 1] = dead .. id
        end
        break
      end
      if dead == '' then active = active + tonumber(n) end
      claims = claims + 1
    end
    if not letter and limit == 1 and active > 0 then
      letter = 'S'
      details[#details + 1] = string.match(';' .. had, ';(%d+,%d+,[^;]*);')
    end
  end
  if not letter then
    if shut then letter = shut
    elseif active + units > limit or claims >= limit + 32 then
      letter = 'L'
      local ids = {}
      for id in string.gmatch(';' .. had, ';(%d+),') do ids[#ids + 1] = id end
      details[#details + 1] = table.concat(ids, ',')
    elseif taken + units > left then letter = 'X'
    elseif #log >= room then letter = 'Q'
    else
      letter = 'A'
      taken = taken + units
      local entry = ARGV[at + 2] .. ',' .. ARGV[at + 1] .. ',' .. key
      log[#log + 1] = (comma and '2,' or '1,') .. user .. ',' .. entry
      fresh[user] = had .. entry .. ';'
    end
  end
  letters[i] = letter
end

if taken > 0 then
  redis.call('RPUSH', KEYS[4], unpack(log))
  local hold = {}
  for user, entries in pairs(fresh) do hold[#hold + 1] = user; hold[#hold + 1] = entries end
  redis.call('HSET', KEYS[3], unpack(hold))
  redis.call('DECRBY', KEYS[2], taken)
end

local answer = { table.concat(letters), left - taken, refills, tonumber(meta[8] or '0') }
for i = 1, #details do answer[i + 4] = details[i] end
return answer
