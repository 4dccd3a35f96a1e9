#!/usr/bin/env python3
"""A TCP relay that adds latency: delay.py LISTEN_PORT TO_PORT MILLISECONDS. Half of it falls on each direction."""
import socket
import sys
import threading
import time
from collections import deque

listen, to, delay = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 2000


def pump(source, sink):
    """Hands on what comes, each piece `delay` after it came, however fast it comes."""
    pieces, ready = deque(), threading.Condition()

    def writer():
        while True:
            with ready:
                while not pieces:
                    ready.wait()
                due, data = pieces.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
            except OSError:
                return

    threading.Thread(target=writer, daemon=True).start()
    while True:
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        with ready:
            pieces.append((time.monotonic() + delay, data))
            ready.notify()
        if not data:
            return


server = socket.create_server(("127.0.0.1", listen), backlog=128)
while True:
    near, _ = server.accept()
    far = socket.create_connection(("127.0.0.1", to))
    for one in (near, far):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=pump, args=(near, far), daemon=True).start()
    threading.Thread(target=pump, args=(far, near), daemon=True).start()
