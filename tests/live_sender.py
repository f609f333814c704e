"""A server on this machine that sends videos and cuts its connections."""

import socket
import threading
from collections.abc import Iterable, Iterator

_PIECE = 188 * 50  # packets of an MPEG-TS


def pieces(video: bytes) -> Iterator[bytes]:
    return (video[start : start + _PIECE] for start in range(0, len(video), _PIECE))


class LiveSender:
    """Sends to each connection in turn the pieces of one part, and cuts it; after the last, none is taken."""

    def __init__(self, parts: Iterable[Iterable[bytes]]) -> None:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._parts = parts
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> "LiveSender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._server:
            if self._thread.is_alive():
                self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _send(self) -> None:
        for part in self._parts:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return  # it was shut down
            with connection:
                try:
                    for piece in part:
                        connection.sendall(piece)
                except OSError:
                    continue  # the reader has gone
        self._server.close()
