"""A forwarder in front of a server that counts requests and bytes, so that every client is counted alike.

Run as a process: `python -m benchmarks.forwarder SERVER_PORT COUNTS_FILE`; it prints its own port and writes its counts
after every connection's data.
"""

from __future__ import annotations

import re
import selectors
import socket
import struct
import sys
from pathlib import Path

from connectors.sandbox import bind

START = re.compile(
    rb"(?:^|\r\n\r\n|\n)(?:GET|HEAD|PUT|POST|DELETE|OPTIONS|PROPFIND|PROPPATCH|REPORT|MKCOL) /\S* HTTP/1\.[01]\r\n"
)
COUNTS = struct.Struct("<qqq")
"""requests, bytes to the server, bytes from it."""


def counts(file: Path) -> tuple[int, int]:
    """(requests, bytes both ways) so far."""
    requests, up, down = COUNTS.unpack(file.read_bytes())
    return requests, up + down


def forward(port: int, file: Path) -> None:
    """Forward until killed."""
    listener = bind()
    listener.listen(64)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    peers: dict[socket.socket, tuple[socket.socket, bool]] = {}
    totals = [0, 0, 0]
    with file.open("w+b", buffering=0) as store:
        store.write(COUNTS.pack(*totals))
        while True:
            for key, _ in waiting.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is listener:
                    _accept(listener, port, peers, waiting)
                    continue
                _pass_on(ready, peers, waiting, totals)
                store.seek(0)
                store.write(COUNTS.pack(*totals))


def _accept(
    listener: socket.socket,
    port: int,
    peers: dict[socket.socket, tuple[socket.socket, bool]],
    waiting: selectors.BaseSelector,
) -> None:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", port))
    for end in (client, server):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(end, selectors.EVENT_READ)
    peers[client], peers[server] = (server, True), (client, False)


def _pass_on(
    ready: socket.socket,
    peers: dict[socket.socket, tuple[socket.socket, bool]],
    waiting: selectors.BaseSelector,
    totals: list[int],
) -> None:
    if ready not in peers:
        return
    other, to_server = peers[ready]
    try:
        data = ready.recv(1 << 18)
        other.sendall(data)
    except OSError:
        data = b""
    if not data:
        for end in (ready, other):
            waiting.unregister(end)
            end.close()
            del peers[end]
        return
    if to_server:
        totals[0] += len(START.findall(data))
        totals[1] += len(data)
    else:
        totals[2] += len(data)


if __name__ == "__main__":
    forward(int(sys.argv[1]), Path(sys.argv[2]))
