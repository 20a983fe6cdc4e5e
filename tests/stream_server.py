"""A network camera on this machine that can be told to misbehave."""

from __future__ import annotations

import socket
import threading

import cv2
import numpy as np

BOUNDARY = b"--picture\r\nContent-Type: image/jpeg\r\n\r\n"
JPEG = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()


class StreamServer:
    """Streams pictures (MJPEG over HTTP), for as long as it wants to.

    Attributes:
        answers: it answers at all; else it accepts and says nothing.
        sends: it sends pictures; else it falls silent.
        breaks: it closes every connection after a few pictures.
    """

    def __init__(self) -> None:
        self.answers, self.sends, self.breaks = True, True, False
        self.met = 0
        self._closing = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}/live"

    def close(self) -> None:
        self._closing.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # The other side was quicker.
            connection.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.met += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.recv(4096)
            if not self.answers:
                return
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=picture\r\n\r\n")
            sent = 0
            while not (self.breaks and sent > 10) and not self._closing.wait(0.02):
                if self.sends:
                    connection.sendall(BOUNDARY + JPEG + b"\r\n")
                    sent += 1
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
