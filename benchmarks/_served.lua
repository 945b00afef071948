-- wrk -s _served.lua ... URL -- FILE: sends the tokens of FILE in turn, one a line, and prints what it found.
local requests, at = {}, 0

function init(args)
  for token in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. token })
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local words = '{"requests": %d, "microseconds": %d, "statuses": %d, "errors": %d, "p50": %d, "p99": %d}\n'
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  io.write(string.format(words, summary.requests, summary.duration, errors.status, failed, p50, p99))
end
