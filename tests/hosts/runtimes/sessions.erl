%% SPDX-License-Identifier: Apache-2.0
%% The application of README.md for Erlang: a process for each connection, sessions in a table of their own.
-module(sessions).
-export([start/0]).

start() ->
    ets:new(sessions, [named_table, public]),
    ets:insert(sessions, {made, 0}),
    {ok, Listener} = gen_tcp:listen(0, [binary, {packet, http_bin}, {active, false}, {ip, {127, 0, 0, 1}}, {backlog, 64}]),
    {ok, Port} = inet:port(Listener),
    io:format("listening on ~b~n", [Port]),
    Bytes = list_to_integer(os:getenv("SESSION_BYTES", "1000")),
    accept(Listener, {os:getenv("KEEP") =:= "all", Bytes}).

accept(Listener, Settings) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Pid = spawn(fun() -> receive go -> serve(Socket, Settings) end end),
    ok = gen_tcp:controlling_process(Socket, Pid),
    Pid ! go,
    accept(Listener, Settings).

serve(Socket, Settings) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, {http_request, _, {abs_path, Path}, _}} ->
            headers(Socket),
            Text = iolist_to_binary(answer(Path, Settings)),
            Head = ["HTTP/1.1 200 OK\r\nContent-Length: ", integer_to_list(byte_size(Text)), "\r\n\r\n"],
            ok = gen_tcp:send(Socket, [Head, Text]),
            serve(Socket, Settings);
        _ ->
            gen_tcp:close(Socket)
    end.

headers(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, http_eoh} -> ok;
        {ok, _} -> headers(Socket)
    end.

answer(<<"/sessions">>, {KeepAll, Bytes}) ->
    Made = ets:update_counter(sessions, made, 1),
    ets:insert(sessions, {Made, binary:copy(<<"x">>, Bytes)}),
    KeepAll orelse ets:delete(sessions, Made - 100),
    ["session ", integer_to_list(Made), "\n"];
answer(<<"/search">>, _) ->
    lists:join("\n", ["result " ++ integer_to_list(I) || I <- lists:seq(1, 30)]);
answer(<<"/kept">>, _) ->
    io_lib:format("~b 0~n", [ets:lookup_element(sessions, made, 2)]);
answer(Path, _) ->
    io_lib:format("~p", [#{path => Path, tags => [a, b, c]}]).
