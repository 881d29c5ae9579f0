# SPDX-License-Identifier: Apache-2.0
"""An ASGI service behind a middleware that times each request as such middleware does, from the call of the application to its
return: python3 -m uvicorn --app-dir tests/servers timed:app

  GET /wait/{ms}   answers that many milliseconds later
  GET /spin/{ms}   computes for that long first
When the service ends, a line "METHOD PATH NANOSECONDS" a request is written to the file named by TIMES.
"""
import asyncio
import os
import time

times = []


async def answer(scope, send):
    what, milliseconds = scope["path"].strip("/").split("/")
    seconds = int(milliseconds) / 1000
    if what == "wait":
        await asyncio.sleep(seconds)
    else:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"ok\n"})


async def lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            with open(os.environ["TIMES"], "w", encoding="utf-8") as out:
                out.writelines(f"{method} {path} {ns}\n" for method, path, ns in times)
            return


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    start = time.monotonic_ns()
    await answer(scope, send)
    times.append((scope["method"], scope["path"], time.monotonic_ns() - start))
