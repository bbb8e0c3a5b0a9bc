-- Claims on a sale that is sold out, by many users in turn: tokens=<prefix>, path=… as in claims.lua.
-- Every answer should be a 409, so "errorStatuses" should be all of "requests".

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

setup = common.number

function init(args)
  local given = common.arguments(args)
  local before, after = common.claim_parts(given.path)
  local token = common.lines_around(given.tokens, thread_index)

  function request()
    return before .. token() .. after
  end
end

function done(summary, latency) common.print(summary, latency) end
