-- A GET, the same every time: path=/v1/flash-sales/7301, etag="…" (asks with If-None-Match), token=… (asks as a user).

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

setup = common.number

function init(args)
  local given = common.arguments(args)
  local headers = {}
  if given.etag then headers["If-None-Match"] = given.etag end
  if given.token then headers["Authorization"] = "Bearer " .. given.token end
  local get = wrk.format("GET", given.path, headers)
  function request() return get end
end

function done(summary, latency) common.print(summary, latency) end
