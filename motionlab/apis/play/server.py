"""HTTP around :mod:`motionlab.apis.play.routes`: wrong requests and lost connections end with themselves."""

import contextlib
import json
import logging
import socket
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from mmengine.logging import print_log

from motionlab.apis.play.routes import Answer, PlayTable, Refusal, answer
from motionlab.utils import ConfigError

LOOPBACK = ('127.0.0.1', 'localhost', '::1')
_MOST_BODY = 4096          # bytes; what the page sends has below 100
_MOST_LINGER = 64 * 2**20  # bytes of a body that are read to be thrown away
_HEADERS = {
    'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff',
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
                               "connect-src 'self'"}


class PlayServer(ThreadingHTTPServer):
    """Serves the page and its games.

    Args:
        table: What is played.
        host: Address to listen on; only this machine reaches the default one.
        port: 0 takes a free one.

    Attributes:
        url: Of the page.

    Raises:
        ConfigError: the address cannot be listened on.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, table: PlayTable, host: str = '127.0.0.1', port: int = 8000):
        self.table, self.only_local = table, host in LOOPBACK
        self._open: set[socket.socket] = set()
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(f'{host}, port {port}: cannot be listened on ({error}); port 0 takes a free one.'
                              ) from None
        self.url = f'http://{host}:{self.server_address[1]}/'

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Listen no more, and end the connections that are open."""
        super().server_close()
        for request in list(self._open):
            with contextlib.suppress(OSError):  # It ended by itself meanwhile.
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error of ours; anything else is logged."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            print_log(f'{client_address}: {type(error).__name__}: {error}', 'current', logging.ERROR)


class _Handler(BaseHTTPRequestHandler):
    """One connection, with any number of requests after each other."""

    server: PlayServer
    protocol_version = 'HTTP/1.1'
    timeout = 60                    # seconds that a silent client is waited for
    disable_nagle_algorithm = True  # It makes every answer wait for 40 ms.
    wbufsize = 2**16
    server_version, sys_version = 'MotionLab', ''

    def do_GET(self) -> None:
        self._body_is_read = False
        try:
            self._check_host()
            self._send(answer(self.server.table, self.command, urlsplit(self.path).path, self._read_body))
        except Refusal as refusal:
            self._send(Answer.refusal(refusal.status, str(refusal), refusal.headers))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # The server goes on, whatever became of one request.
            print_log(f'{self.command} {self.path}: {type(error).__name__}: {error}', 'current', logging.ERROR)
            self._send(Answer.refusal(HTTPStatus.INTERNAL_SERVER_ERROR, f'The server failed: {type(error).__name__}.',
                                      {}))

    do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def _check_host(self) -> None:
        """Names by which other pages in the same browser may reach this machine are not answered."""
        try:
            name = urlsplit(f'//{self.headers.get("Host", "")}').hostname
        except ValueError:
            name = None
        if self.server.only_local and name not in LOOPBACK:
            raise Refusal(HTTPStatus.FORBIDDEN, f'This server answers as {" or ".join(LOOPBACK[:2])} only.')

    def _read_body(self) -> dict:
        """What was sent: a JSON object."""
        length = self.headers.get('Content-Length', '')
        if not length:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, 'The request does not say how long it is.')
        if not (length.isascii() and length.isdigit()):
            raise Refusal(HTTPStatus.BAD_REQUEST, 'Content-Length is no number.')
        if len(length) > 9 or int(length) > _MOST_BODY:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f'More than {_MOST_BODY} bytes were sent.')
        if self.headers.get_content_type() != 'application/json':
            # Forms of other pages in the same browser cannot send this type.
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, 'Expected Content-Type: application/json.')
        text = self.rfile.read(int(length))
        if len(text) < int(length):
            raise ConnectionAbortedError('the client went away')
        self._body_is_read = True
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            raise Refusal(HTTPStatus.BAD_REQUEST, 'What was sent is not JSON.') from None
        if not isinstance(body, dict):
            raise Refusal(HTTPStatus.BAD_REQUEST, f'Expected a JSON object, found a {type(body).__name__}.')
        return body

    def _send(self, what: Answer) -> None:
        # A body that nobody read would be taken for the next request.
        unread = not self._body_is_read and (self.headers.get('Content-Length', '0') != '0'
                                             or 'Transfer-Encoding' in self.headers)
        self._write(what, last=unread)
        if unread:
            self._linger()

    def _write(self, what: Answer, last: bool) -> None:
        self.send_response(what.status)
        for name, value in (_HEADERS | what.headers).items():
            self.send_header(name, value)
        self.send_header('Content-Type', what.kind)
        self.send_header('Content-Length', str(len(what.content)))
        if last:
            self.send_header('Connection', 'close')  # The base class then closes it.
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(what.content)

    def _linger(self) -> None:
        """Read on for a moment: closed at once, the connection would be reset before the client reads the answer."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(1)
        left, end = _MOST_LINGER, time.monotonic() + 5
        while left > 0 and time.monotonic() < end and (got := len(self.connection.recv(2**16))):
            left -= got

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses by itself: malformed requests, and methods that nobody knows."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._write(Answer.refusal(status, f'{message or status.description}.', {}), last=True)

    def log_message(self, format: str, *args: object) -> None:
        """Thirty lines a second would help nobody."""
