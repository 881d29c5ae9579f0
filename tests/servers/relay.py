# SPDX-License-Identifier: Apache-2.0
"""An ASGI service in front of another HTTP server: /in/X asks it for /up/X/first, then for /up/X/left and /up/X/right at once, so each
upstream request tells by its path which request caused it. A background task asks for /background now and then.
RELAY_UPSTREAM: the other server's address. RELAY_CLIENT: httpx or aiohttp. RELAY_QUIET: there is no
background task.
"""

import asyncio
import os

UPSTREAM = os.environ['RELAY_UPSTREAM']


class Httpx:
    async def start(self):
        import httpx
        self.client = httpx.AsyncClient(timeout=60)

    async def get(self, path):
        return (await self.client.get(UPSTREAM + path)).text


class Aiohttp:
    async def start(self):
        import aiohttp
        self.session = aiohttp.ClientSession()

    async def get(self, path):
        async with self.session.get(UPSTREAM + path) as response:
            return await response.text()


client = Aiohttp() if os.environ.get('RELAY_CLIENT') == 'aiohttp' else Httpx()


async def background():
    while True:
        await client.get('/background')
        await asyncio.sleep(0.013)


async def lifespan(receive, send):
    await receive()
    await client.start()
    task = asyncio.create_task(asyncio.sleep(0) if os.environ.get('RELAY_QUIET') else background())
    await send({'type': 'lifespan.startup.complete'})
    await receive()
    task.cancel()
    await send({'type': 'lifespan.shutdown.complete'})


async def app(scope, receive, send):
    if scope['type'] == 'lifespan':
        await lifespan(receive, send)
        return
    name = scope['path'].removeprefix('/in/')
    parts = [await client.get(f'/up/{name}/first')]
    parts += await asyncio.gather(client.get(f'/up/{name}/left'), client.get(f'/up/{name}/right'))
    body = ''.join(parts).encode()
    await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'%d' % len(body))]})
    await send({'type': 'http.response.body', 'body': body})
