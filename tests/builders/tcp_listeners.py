"""Ports on loopback behind which is nothing, silence, or something else than what is expected."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def closed_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """Accept connections and never answer; yield the port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield listener.getsockname()[1]


@contextmanager
def answering_port(answer: bytes) -> Iterator[int]:
    """Answer each connection's first bytes with the same bytes, and close it; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener, answer), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)  # ends the thread's accept


def _answer(listener: socket.socket, answer: bytes) -> None:
    while listener.fileno() >= 0:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(answer)


def http(status: str, body: str) -> bytes:
    """Make an HTTP response, after which the connection is closed."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


HTML = http("200 OK", "<html><b>Please log in</b></html>")
