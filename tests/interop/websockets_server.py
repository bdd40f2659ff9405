#!/usr/bin/env python3
"""A WebSocket server that we did not write: Python's websockets.

    websockets_server.py DIR [PORT]

Stores the binary messages of each connection in DIR, under the last part of
the URL's path. Works with websockets 10.4 (Debian 12: python3-websockets) and
later. With PORT it listens there, and stores each connection in a file of its
own, NAME.0, NAME.1, … in their order, also after a restart. Prints:

    listening on ws://127.0.0.1:PORT/     when it is ready
    stream NAME BYTES MESSAGES LARGEST CODE
                                          when a connection has ended: what
                                          came, and the client's close code
"""

import asyncio
import itertools
import pathlib
import re
import signal
import sys

import websockets


def name_of(path):
    name = path.split("?")[0].rsplit("/", 1)[-1]
    return name if re.fullmatch(r"\w[\w.-]*", name, re.ASCII) else "unnamed.bin"


def new_file(folder, name):
    if port == 0:
        return open(folder / name, "wb")
    for n in itertools.count():
        try:
            return open(folder / f"{name}.{n}", "xb", buffering=0)
        except FileExistsError:
            pass


async def store(connection, folder):
    # Up to 13 the path is the connection's, from 14 on its request's.
    path = connection.path if hasattr(connection, "path") else connection.request.path
    name = name_of(path)
    size = count = largest = 0
    with new_file(folder, name) as file:
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

    server = await websockets.serve(handler, "127.0.0.1", port, max_size=None)
    listening = list(server.sockets)[0].getsockname()[1]
    print(f"listening on ws://127.0.0.1:{listening}/", flush=True)
    await ended.wait()
    # It has answered for messages that no one has taken from it yet.
    server.close()
    await server.wait_closed()


if len(sys.argv) not in (2, 3):
    sys.exit("usage: websockets_server.py DIR [PORT]")
port = int(sys.argv[2]) if len(sys.argv) == 3 else 0
target = pathlib.Path(sys.argv[1])
target.mkdir(parents=True, exist_ok=True)
asyncio.run(main(target))
