-- Asked by benchmarks/http_speed.py: sends the bodies of a file in turn and prints what wrk measured as JSON.
-- HR_BODIES: file of bodies, one a line (JSON), or, with HR_TYPE of a picture, one body as it is.

local bodies, place = {}, 0
local path, kind = os.getenv("HR_BODIES"), os.getenv("HR_TYPE")

if kind == "application/json" then
  for line in io.lines(path) do
    bodies[#bodies + 1] = line
  end
else
  local file = io.open(path, "rb")
  bodies[1] = file:read("*a")
  file:close()
end

function request()
  place = place % #bodies + 1
  return wrk.format("POST", nil, { ["Content-Type"] = kind }, bodies[place])
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local format = '{"requests":%d,"us":%d,"failed":%d,"p50_us":%d,"p99_us":%d}\n'
  io.write(
    string.format(format, summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99))
  )
end
