# SPDX-License-Identifier: Apache-2.0
# The application of README.md for puma and other Rack servers.
keep_all = ENV['KEEP'] == 'all'
bytes = (ENV['SESSION_BYTES'] || 1000).to_i
sessions = []
made = 0
lock = Mutex.new

create = lambda do
  lock.synchronize do
    sessions << 'x' * bytes
    sessions.shift if !keep_all && sessions.size > 100
    "session #{made += 1}\n"
  end
end

run(lambda do |env|
  path = env['PATH_INFO']
  text = case path
         when '/sessions' then create.call
         when '/search' then (1..30).map { |i| "result #{i}" }.join("\n")
         when '/kept' then "#{made} 0\n"
         else { 'path' => path, 'tags' => %w[a b c] }.inspect
         end
  [200, { 'Content-Type' => 'text/plain', 'Content-Length' => text.bytesize.to_s }, [text]]
end)
