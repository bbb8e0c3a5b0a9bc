-- Claims on a sale, each by another user: every token is used once.
--   wrk -t2 -c128 -d5s -s bench/wrk/claims.lua http://127.0.0.1:8080 -- path=/v1/flash-sales/7301/claims tokens=/dir/tokens-
--     tokens=<prefix>       thread n reads <prefix>n.txt, one token a line
--     idempotency=<prefix>  sends an Idempotency-Key: the prefix (at least 8 characters), the thread, and the line's number
--     answers=1             looks at every answer: counts the statuses, and stops each thread when its buyers are all answered
--     finished=<prefix>     with answers=1: makes <prefix>n.txt when the thread is done; wrk itself stays for its whole -d, or until SIGINT
--     acks=<prefix>         with answers=1: writes the claim id of every acknowledged claim to <prefix>n.txt
-- Without answers=1 nothing looks at answers (that costs wrk, not the server); "exhausted" says that tokens were too few.

local common = dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "common.lua")

setup = common.number

function init(args)
  local given = common.arguments(args)
  local before, after = common.claim_parts(given.path)
  local tokens = common.lines(given.tokens, thread_index)
  local key = given.idempotency and "\r\nIdempotency-Key: " .. given.idempotency .. "-" .. thread_index .. "-"
  local answers = given.answers == "1"

  -- Asked when no buyer is left but answers are still on their way. A claim is never answered with 404.
  local filler = "GET /no-buyer-left HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n\r\n"

  asked, answered, exhausted, acknowledged, statuses = 0, 0, 0, 0, {}

  -- wrk asks thread 0 for one request before the run, and throws it away.
  local rehearsal = thread_index == 0

  function request()
    if rehearsal then
      rehearsal = false
      return filler
    end
    local token = tokens.next()
    if not token then
      exhausted = exhausted + 1
      return filler
    end
    asked = asked + 1
    if key then return before .. token .. key .. string.format("%08d", asked) .. after end
    return before .. token .. after
  end

  if not answers then return end

  local acks = given.acks and assert(io.open(given.acks .. thread_index .. ".txt", "w"))

  function response(status, headers, body)
    if status ~= 404 then
      statuses[tostring(status)] = (statuses[tostring(status)] or 0) + 1
      answered = answered + 1
      if status >= 200 and status < 300 then
        acknowledged = acknowledged + 1
        if acks then acks:write(body:match('"claimId":"(%d+)"') or "unreadable", "\n") end
      end
    end
    if exhausted > 0 and answered == asked then
      if acks then acks:flush() end
      if given.finished then assert(io.open(given.finished .. thread_index .. ".txt", "w")):close() end
      wrk.thread:stop()
    end
  end
end

function done(summary, latency)
  common.print(summary, latency, common.totals("statuses"), {
    asked = common.total("asked"),
    answered = common.total("answered"),
    acknowledged = common.total("acknowledged"),
    exhausted = common.total("exhausted"),
  })
end
