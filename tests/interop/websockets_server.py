#!/usr/bin/env python3
"""A WebSocket server that we did not write: Python's websockets.

    websockets_server.py DIR

Stores the binary messages of each connection in DIR, under the last part of
the URL's path. Works with websockets 10.4 (Debian 12: python3-websockets) and
later. Prints:

    listening on ws://127.0.0.1:PORT/     when it is ready
    stream NAME BYTES MESSAGES LARGEST CODE
                                          when a connection has ended: what
                                          came, and the client's close code
"""

import asyncio
import pathlib
import re
import signal
import sys

import websockets


def name_of(path):
    name = path.split("?")[0].rsplit("/", 1)[-1]
    return name if re.fullmatch(r"\w[\w.-]*", name, re.ASCII) else "unnamed.bin"


async def store(connection, folder):
    # Up to 13 the path is the connection's, from 14 on its request's.
    path = connection.path if hasattr(connection, "path") else connection.request.path
    name = name_of(path)
    size = count = largest = 0
    with open(folder / name, "wb") as file:
        try:
            async for message in connection:
                if isinstance(message, bytes):
                    file.write(message)
                    size += len(message)
                    count += 1
                    largest = max(largest, len(message))
        except websockets.ConnectionClosed:
            pass
    print("stream", name, size, count, largest, connection.close_code, flush=True)


async def main(folder):
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)

    async def handler(connection):
        await store(connection, folder)

    server = await websockets.serve(handler, "127.0.0.1", 0, max_size=None)
    port = list(server.sockets)[0].getsockname()[1]
    print(f"listening on ws://127.0.0.1:{port}/", flush=True)
    await ended.wait()
    server.close()


if len(sys.argv) != 2:
    sys.exit("usage: websockets_server.py DIR")
target = pathlib.Path(sys.argv[1])
target.mkdir(parents=True, exist_ok=True)
asyncio.run(main(target))
