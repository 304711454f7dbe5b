"""A proxy on loopback that makes a server slow: each piece of data is late, and few bytes pass."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

_PIECE = 4096  # bytes


class SlowProxy:
    """Passes connections on to `target`, a Unix socket's path or a host and port.

    `delay` seconds before each piece of data, in each direction, then `rate` bytes a second.
    """

    def __init__(self, target: str | tuple[str, int]) -> None:
        self.target = target
        self.delay, self.rate = 0.0, float("inf")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        for opened in (self._listener, *self._open):
            with suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = self._connect()
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self.target, tuple):
            return socket.create_connection(self.target)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self.target)
        return server

    def _pass(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_PIECE):
                time.sleep(self.delay + len(data) / self.rate)
                to.sendall(data)
        for ended in (source, to):
            with suppress(OSError):
                ended.shutdown(socket.SHUT_RDWR)
