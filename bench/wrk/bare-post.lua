-- The bare POST that claims are compared with.
--   without tokens: the smallest request, made once; wrk sends the same bytes again and again
--   tokens=<prefix>: the very bytes of a claim, made one by one as claims.lua does, so that wrk's own work is equal

local directory = debug.getinfo(1, "S").source:match("^@(.*/)")
local common = dofile(directory .. "common.lua")

setup = common.number

function init(args)
  local given = common.arguments(args)
  local path = given.path or "/bare/claims"

  if not given.tokens then
    local smallest = wrk.format("POST", path, { ["Content-Type"] = "application/json" }, '{"units":1}')
    function request() return smallest end
    return
  end

  local before, after = common.claim_parts(path)
  local token = common.lines_around(given.tokens, thread_index)
  function request()
    return before .. token() .. after
  end
end

function done(summary, latency) common.print(summary, latency) end
