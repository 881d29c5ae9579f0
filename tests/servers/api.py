# SPDX-License-Identifier: Apache-2.0
"""A small FastAPI service that counts its own requests: python3 -m uvicorn --app-dir tests/servers api:app

  GET  /users/{id}   one user as JSON
  POST /users        takes a JSON body, gives its length back (201)
  GET  /leak         keeps 2,000 bytes for ever
  GET  /fail         500
When the service ends, the counts are written as JSON, {"GET /users/{id}": 12, ...}, to the file named by API_COUNTS.
"""
import collections
import json
import os

from fastapi import FastAPI, Request, Response

app = FastAPI()
counts = collections.Counter()
kept = []


@app.get("/users/{user}")
async def read_user(user: int):
    counts["GET /users/{id}"] += 1
    return {"id": user, "name": f"user {user}", "tags": ["a", "b", "c"]}


@app.post("/users", status_code=201)
async def create_user(request: Request):
    counts["POST /users"] += 1
    return {"bytes": len(await request.body())}


@app.get("/leak")
async def leak():
    counts["GET /leak"] += 1
    kept.append(bytearray(2000))
    return {"kept": len(kept)}


@app.get("/fail")
async def fail():
    counts["GET /fail"] += 1
    return Response(status_code=500, content="no")


@app.on_event("shutdown")
def write_counts():
    path = os.environ.get("API_COUNTS")
    if path:
        with open(path, "w", encoding="utf-8") as out:
            json.dump(counts, out)
