-- What the wrk scripts of this folder share; each loads it with dofile.
--
-- wrk runs one Lua state per thread and one more for setup() and done(). setup() runs before init(), so each thread can
-- be given its number there. Arguments come after "--" as name=value.

local common = {}

function common.arguments(args)
  local values = {}
  for _, argument in ipairs(args) do
    local name, value = argument:match("^([%w_]+)=(.*)$")
    if not name then error("an argument is name=value, not: " .. argument) end
    values[name] = value
  end
  return values
end

-- For setup(): numbers the threads from 0 and remembers them for done().
local threads = {}
function common.number(thread)
  thread:set("thread_index", #threads)
  table.insert(threads, thread)
end

-- The lines of this thread's own file "<prefix><thread_index>.txt", one after the other. Read as needed: a list of
-- 300,000 tokens in memory would make Lua's collector part of the measurement.
function common.lines(prefix, thread_index)
  local name = prefix .. thread_index .. ".txt"
  local file = assert(io.open(name, "r"))
  return {
    next = function() return file:read("*l") end,
    again = function() file:seek("set", 0) end,
  }
end

-- The same without an end: after the last line the first one again.
function common.lines_around(prefix, thread_index)
  local lines = common.lines(prefix, thread_index)
  return function()
    local line = lines.next()
    if not line then
      lines.again()
      line = lines.next()
    end
    return line
  end
end

-- Text before and after the token of a claim's request.
function common.claim_parts(path)
  local body = '{"units":1}'
  local before = "POST " .. path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port
    .. "\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\nAuthorization: Bearer "
  return before, "\r\n\r\n" .. body
end

-- For done(): the sum over all threads of a counter, or of each entry of a table of counters.
function common.total(name)
  local sum = 0
  for _, thread in ipairs(threads) do sum = sum + (thread:get(name) or 0) end
  return sum
end

function common.totals(name)
  local sums = {}
  for _, thread in ipairs(threads) do
    for key, count in pairs(thread:get(name) or {}) do sums[key] = (sums[key] or 0) + count end
  end
  return sums
end

-- For done(): one line of JSON. `counts` and `statuses` are tables of numbers. os.clock() is the CPU time of the whole process.
function common.print(summary, latency, statuses, counts)
  local function fields(of)
    local list = {}
    for name, value in pairs(of or {}) do table.insert(list, string.format('"%s":%d', name, value)) end
    table.sort(list)
    return table.concat(list, ",")
  end
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"seconds":%.4f,"errorStatuses":%d,"socketErrors":%d,"timeouts":%d,'
      .. '"p50Ms":%.3f,"p99Ms":%.3f,"maxMs":%.3f,"cpuSeconds":%.2f,"statuses":{%s},"counts":{%s}}',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3, os.clock(), fields(statuses), fields(counts)))
end

return common
