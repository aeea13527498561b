-- A closed loop by wrk: TEXTS=lines.txt wrk -t1 -c64 -d10s --latency -s serve/bench/closed.lua http://127.0.0.1:3000
-- A text a request, in TEI's form to /embed; with ROUTE=/v1/embeddings MODEL=fastminilm in OpenAI's form to that route, which other servers have too.

local route = os.getenv("ROUTE") or "/embed"
local model = os.getenv("MODEL")
local file = assert(os.getenv("TEXTS"), "TEXTS: expected a file with a text on each line")
local texts = {}
for line in io.lines(file) do
  local text = line:gsub("\\", "\\\\"):gsub('"', '\\"')
  text = text:gsub("%c", function(c) return ("\\u%04x"):format(c:byte()) end)
  if text:find("%S") then texts[#texts + 1] = text end
end
local at = 0

wrk.method = "POST"
wrk.headers["content-type"] = "application/json"

function request()
  at = at % #texts + 1
  local body = '{"inputs":"' .. texts[at] .. '","truncate":true}'
  if model then body = '{"input":"' .. texts[at] .. '","model":"' .. model .. '"}' end
  return wrk.format("POST", route, nil, body)
end
