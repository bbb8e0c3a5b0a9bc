-- A GET, the same every time: path=/v1/flash-sales/7301, etag="…" (asks with If-None-Match), token=… (asks as a user).
--   tokens=<prefix>: thread n asks as the users of <prefix>n.txt, one after the other, and begins again.

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

setup = common.number

function init(args)
  local given = common.arguments(args)
  local headers = {}
  if given.etag then headers["If-None-Match"] = given.etag end
  if given.token then headers["Authorization"] = "Bearer " .. given.token end
  if given.tokens then
    local before = "GET " .. given.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\nAuthorization: Bearer "
    local after = (given.etag and "\r\nIf-None-Match: " .. given.etag or "") .. "\r\n\r\n"
    local token = common.lines_around(given.tokens, thread_index)
    function request()
      return before .. token() .. after
    end
    return
  end
  local get = wrk.format("GET", given.path, headers)
  function request() return get end
end

function done(summary, latency) common.print(summary, latency) end
