"""A server on this machine that sends a video and cuts the connection."""

import socket
import threading
from collections.abc import Callable, Iterable

PIECE = 188 * 50  # packets of an MPEG-TS


class LiveSender:
    """Sends to each connection in turn the bytes of one part, and then refuses or breaks off.

    A part is a video as bytes; after the last one, connections are taken and closed. ``between`` is called
    before each connection is taken.
    """

    def __init__(self, parts: Iterable[bytes], between: Callable[[], None] = lambda: None) -> None:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._parts, self._between = iter(parts), between
        self._thread = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> "LiveSender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _send(self) -> None:
        while True:
            self._between()
            try:
                connection, _ = self._server.accept()
            except OSError:
                return  # closed
            with connection:
                part = next(self._parts, b"")
                try:
                    for start in range(0, len(part), PIECE):
                        connection.sendall(part[start : start + PIECE])
                except OSError:
                    continue  # the reader has gone
