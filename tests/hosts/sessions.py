# SPDX-License-Identifier: Apache-2.0
"""A FastAPI application that keeps its sessions in memory: python3 -m uvicorn --app-dir tests/hosts sessions:app

  POST /sessions    makes one, of SESSION_BYTES bytes; with KIND=objects of a dozen small Python objects instead
  GET  /items/{id}, /search    keep nothing
  GET  /kept        how many sessions were made, and the bytes of those that are kept, by sys.getsizeof
With KEEP=all all sessions are kept, else the last hundred.
"""
import collections
import os
import sys

from fastapi import FastAPI, Response

SESSION_BYTES = int(os.environ.get("SESSION_BYTES", "1000"))

app = FastAPI()
sessions = [] if os.environ.get("KEEP") == "all" else collections.deque(maxlen=100)
made = 0


def session_bytes():
    return bytearray(SESSION_BYTES)


def session_objects():
    return {"number": made + 1000, "user": {"id": made + 1000, "name": f"user {made}", "mail": f"user{made}@example.org"},
            "visited": [f"/items/{made + i}" for i in range(4)]}


def size_of(thing):
    inner = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else ()
    return sys.getsizeof(thing) + sum(size_of(part) for part in inner)


create = session_objects if os.environ.get("KIND") == "objects" else session_bytes


@app.post("/sessions")
async def create_session():
    global made
    made += 1
    sessions.append(create())
    return {"made": made}


@app.get("/items/{item}")
async def read_item(item: int):
    return {"id": item, "name": f"item {item}", "tags": ["a", "b", "c"]}


@app.get("/search")
async def search():
    return [{"id": i, "title": f"result {i}"} for i in range(20)]


@app.get("/kept")
async def kept():
    return Response(f"{made} {sum(map(size_of, sessions))}\n")
