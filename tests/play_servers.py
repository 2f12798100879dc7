"""A small model of the maze game, played over HTTP."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

from motionlab.apis.play import FramePlayer, GameStarts, PlayServer, PlayTable
from motionlab.models.frame_rollout import FrameOptions
from tests.frame_models import make_model


def make_player(starts=None, *, codec=None, **options) -> FramePlayer:
    """A model that has learned nothing, of 4 x 4 pixels per position; one solver step for a frame."""
    model = make_model(codec=codec or dict(patch=4))
    return FramePlayer(model, starts or GameStarts(), FrameOptions(**{'num_steps': 1, **options}))


@contextmanager
def serving(player: FramePlayer, port: int = 0, **table) -> Iterator[PlayServer]:
    """A server in a thread, on a free port unless it is told one."""
    server = PlayServer(PlayTable(player, **table), port=port)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Client:
    """One connection that is kept."""

    def __init__(self, server: PlayServer):
        self.connection = HTTPConnection('127.0.0.1', server.server_address[1], timeout=30)

    def ask(self, method: str, path: str, body: object = None, *, raw: bytes | None = None,
            **headers: str) -> tuple[int, dict]:
        """Status and content of a JSON answer. ``raw`` is sent in the place of ``body``."""
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        names = {name.replace('_', '-'): value for name, value in headers.items()}
        self.connection.request(method, path, sent, {'Content-Type': 'application/json', **names})
        response = self.connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else {}

    def post(self, path: str, **body: object) -> dict:
        """The answer to a request that must succeed."""
        status, content = self.ask('POST', path, body)
        assert status == 200, content
        return content
