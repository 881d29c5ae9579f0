-- SPDX-License-Identifier: Apache-2.0
-- The application of README.md for Lua and LuaJIT with LuaSocket: one thread, a loop over select.
local socket = require('socket')

local keep_all = os.getenv('KEEP') == 'all'
local bytes = tonumber(os.getenv('SESSION_BYTES') or 1000)
local sessions, first, made = {}, 1, 0

local function answer(path)
  if path == '/sessions' then
    made = made + 1
    sessions[made] = string.rep('x', bytes - 12) .. string.format('%012d', made) -- equal ones might be one
    if not keep_all and made - first >= 100 then
      sessions[first], first = nil, first + 1
    end
    return string.format('session %d\n', made)
  elseif path == '/search' then
    local found = {}
    for i = 1, 30 do found[i] = 'result ' .. i end
    return table.concat(found, '\n')
  elseif path == '/kept' then
    return string.format('%d 0\n', made)
  end
  local item = {path = path, tags = {'a', 'b', 'c'}}
  return item.path .. ' ' .. table.concat(item.tags, ' ')
end

local function serve(client)
  local line = client:receive('*l')
  if not line then return false end
  repeat
    local header = client:receive('*l')
    if not header then return false end
  until header == ''
  local text = answer(line:match('^%S+ (%S+)'))
  return client:send('HTTP/1.1 200 OK\r\nContent-Length: ' .. #text .. '\r\n\r\n' .. text)
end

local listener = assert(socket.bind('127.0.0.1', 0))
print('listening on ' .. select(2, listener:getsockname()))
io.stdout:flush()
local watched = {listener}
while true do
  for _, ready in ipairs((socket.select(watched))) do
    if ready == listener then
      watched[#watched + 1] = listener:accept()
    elseif not serve(ready) then
      ready:close()
      for i, client in ipairs(watched) do
        if client == ready then table.remove(watched, i) break end
      end
    end
  end
end
