# SPDX-License-Identifier: Apache-2.0
# A Rack application that answers, reads a body, and runs a program.
run(lambda do |env|
  text = case env['PATH_INFO']
         when '/' then 'root'
         when '/child' then `echo from a child`
         when '/post' then "got #{env['rack.input'].read.size}"
         when '/file' then File.read(__FILE__)
         end
  text ? [200, { 'Content-Type' => 'text/plain' }, [text]] : [404, {}, ['none']]
end)
