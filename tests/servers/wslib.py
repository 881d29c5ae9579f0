# SPDX-License-Identifier: Apache-2.0
"""The library `websockets`, as server and as client: what it counts is compared with what is recorded of it.

  wslib.py serve TRUTH            echoes what it gets, until SIGTERM
  wslib.py ask PORT ROUNDS        sends texts and bytes, pings, and JSON-RPC calls that are echoed as calls; compressed or not by turns
Prints nothing of what is said. The server writes {"messages": N, "bytes": N} to TRUTH.
"""
import asyncio
import json
import signal
import sys

import websockets

truth = {'messages': 0, 'bytes': 0}


async def echo(socket):
    async for message in socket:
        truth['messages'] += 1
        truth['bytes'] += len(message if isinstance(message, bytes) else message.encode())
        await socket.send(message)


async def serve(path):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with websockets.serve(echo, '127.0.0.1', 0, ping_interval=None) as server:
        print(f'listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}', flush=True)
        await stop.wait()
    with open(path, 'w', encoding='utf-8') as out:
        json.dump(truth, out)


async def ask(port, rounds):
    for i in range(rounds):
        async with websockets.connect(f'ws://127.0.0.1:{port}/room/{i}', compression='deflate' if i % 2 else None,
                                      ping_interval=None) as socket:
            for text in ('xZqLibraryText' * 10, b'xZqLibraryBytes' * 9000, ''):
                await socket.send(text)
                await socket.recv()
            await (await socket.ping())
            await socket.send(json.dumps({'jsonrpc': '2.0', 'method': 'tell', 'params': 'xZqLibraryParameter' * 3, 'id': i}))
            await socket.recv()
            await socket.send(['{"jsonrpc":"2.0",', '"method":"pieces",', '"params":"xZqLibraryPieces"}'])
            await socket.recv()


asyncio.run(serve(sys.argv[2]) if sys.argv[1] == 'serve' else ask(int(sys.argv[2]), int(sys.argv[3])))
