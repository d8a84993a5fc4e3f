"""What may listen at an address where a server of ours is expected."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def listener(greeting: bytes | None, host: str = "127.0.0.1") -> Iterator[str]:
    """``host:port`` of one that says `greeting` to everybody and hangs up.

    Args:
        greeting: what it says; nothing, if empty. None says nothing and keeps the connections.
        host: where it listens.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kept: list[socket.socket] = []
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen(50)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if greeting is None:
                    kept.append(connection)
                    continue
                with connection:
                    try:
                        connection.sendall(greeting)
                        connection.shutdown(socket.SHUT_WR)
                        connection.settimeout(5)
                        while connection.recv(4096):  # closing with something unread would be a reset
                            pass
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, name="stranger")
        thread.start()
        try:
            shown = f"[{host}]" if ":" in host else host
            yield f"{shown}:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for connection in kept:
                connection.close()
