"""What the page asks for, and what it is answered.

    GET  /, /play.js, /play.css                                  the page
    GET  /api/info                                               what is played
    POST /api/sessions                 {seed}                    a new game
    POST /api/sessions/ID/step         {step, action}            its next frame
    POST /api/sessions/ID/reset        {seed}                    begin anew
    POST /api/sessions/ID/record       {on}                      begin or end a recording
    GET  /api/sessions/ID/recording.gif                          what was recorded

Answers are JSON, pictures in them PNG in base64. What cannot be done is answered by a 4xx status and one sentence,
``{"error": ...}``.
"""

import json
import re
import secrets
import tempfile
import threading
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import resources
from pathlib import Path

from motionlab.apis.play.session import FramePlayer, PlaySession, PlayView
from motionlab.utils import ConfigError, DataError
from motionlab.visualization.video_io import write_video

_PAGE = {'/': ('index.html', 'text/html'), '/play.js': ('play.js', 'text/javascript'),
         '/play.css': ('play.css', 'text/css')}
_SEEDS = 2**31


class Refusal(Exception):
    """What is asked for cannot be done: a status of 4xx, and why in one sentence."""

    def __init__(self, status: HTTPStatus, sentence: str, **headers: str):
        super().__init__(sentence)
        self.status, self.headers = status, headers


@dataclass(frozen=True)
class Answer:
    """What goes back.

    Args:
        content: As bytes.
        kind: Its media type.
        status: Of HTTP.
        headers: Further ones.
    """

    content: bytes
    kind: str = 'application/json'
    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, **values: object) -> 'Answer':
        return cls(json.dumps(values).encode())

    @classmethod
    def refusal(cls, status: int, sentence: str, headers: dict[str, str]) -> 'Answer':
        return cls(json.dumps({'error': sentence}).encode(), status=HTTPStatus(status), headers=headers)


class PlayTable:
    """All games that are played.

    Args:
        player: Their model.
        most: Games at once; one more ends the one that nobody has played for longest.
        seed: Of the game that a page begins with.

    Raises:
        ConfigError: a number out of range.
    """

    def __init__(self, player: FramePlayer, most: int = 8, seed: int = 0):
        if most < 1 or not 0 <= seed < _SEEDS:
            raise ConfigError(f'PlayTable: found most={most}, seed={seed}; expected at least 1, and 0 to {_SEEDS - 1}.')
        self.player, self.seed, self._most = player, seed, most
        self._sessions: OrderedDict[str, PlaySession] = OrderedDict()
        self._lock, self._own = threading.Lock(), secrets.token_hex(4)  # What names of this table begin with.

    def add(self, seed: int) -> tuple[str, PlaySession]:
        """A new game, and its name before it."""
        name, session = self._own + secrets.token_hex(8), PlaySession(self.player, seed)
        with self._lock:
            self._sessions[name] = session
            while len(self._sessions) > self._most:
                self._sessions.popitem(last=False)
        return name, session

    def find(self, name: str) -> PlaySession:
        """A game by name; :class:`Refusal` where there is none (any more)."""
        with self._lock:
            if name not in self._sessions:
                if name.startswith(self._own):
                    raise Refusal(HTTPStatus.GONE, f'This game was ended, because more than {self._most} are played.')
                raise Refusal(HTTPStatus.NOT_FOUND, 'There is no such game: the server was started anew since.')
            self._sessions.move_to_end(name)
            return self._sessions[name]


def answer(table: PlayTable, method: str, path: str, read_body: Callable[[], dict]) -> Answer:
    """Do what a request asks for.

    Args:
        table: The games.
        method: Of HTTP.
        path: Without query.
        read_body: Reads what was sent; called for POST only.

    Raises:
        Refusal: it cannot be done.
    """
    for pattern, expected, function in _ROUTES:
        match = pattern.fullmatch(path)
        if match and method != expected:
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f'{path} takes {expected}, not {method}.', Allow=expected)
        if match:
            return function(table, *match.groups(), *([read_body()] if method == 'POST' else []))
    raise Refusal(HTTPStatus.NOT_FOUND, f'There is nothing at {path}.')


def _get_page(table: PlayTable, path: str) -> Answer:
    name, kind = _PAGE[path]
    return Answer(resources.files(__package__).joinpath('page', name).read_bytes(), f'{kind}; charset=utf-8')


def _get_info(table: PlayTable) -> Answer:
    starts = table.player.starts
    return Answer.json(actions=starts.action_names, fps=starts.fps, height=starts.frame_size[0],
                       width=starts.frame_size[1], real=starts.real, seed=table.seed)


def _add_session(table: PlayTable, body: dict) -> Answer:
    name, session = table.add(_seed(body))
    return _show(session.view, session=name)


def _step(table: PlayTable, name: str, body: dict) -> Answer:
    session, (number, action) = table.find(name), _take(body, step=int, action=str)
    names = table.player.starts.action_names
    if action not in names:
        raise Refusal(HTTPStatus.BAD_REQUEST, f'There is no such action; expected one of {", ".join(names)}.')
    try:
        return _show(session.step(names.index(action), number))
    except DataError as error:
        raise Refusal(HTTPStatus.CONFLICT, str(error)) from None


def _reset(table: PlayTable, name: str, body: dict) -> Answer:
    return _show(table.find(name).reset(_seed(body)))


def _record(table: PlayTable, name: str, body: dict) -> Answer:
    session, (on,) = table.find(name), _take(body, on=bool)
    return _show(session.record(on))


def _get_recording(table: PlayTable, name: str) -> Answer:
    frames = table.find(name).recorded_frames()
    if not frames:
        raise Refusal(HTTPStatus.NOT_FOUND, 'Nothing was recorded.')
    with tempfile.TemporaryDirectory(prefix='motionlab_play_') as folder:
        path = Path(folder, 'play.gif')
        write_video(path, frames, table.player.starts.fps)
        return Answer(path.read_bytes(), 'image/gif', headers={
            'Content-Disposition': 'attachment; filename="play.gif"'})


def _show(view: PlayView, **more: object) -> Answer:
    model, real = (png and b64encode(png).decode() for png in (view.model_png, view.real_png))
    return Answer.json(step=view.step, model=model, real=real, over=view.over, model_ms=round(view.model_ms, 1),
                       recorded=view.recorded, recording=view.recording, **more)


def _take(body: dict, **kinds: type) -> list:
    """The values of a request: every key is there, no other is, and each is of its type."""
    if body.keys() != kinds.keys():
        raise Refusal(HTTPStatus.BAD_REQUEST, f'Expected the keys {", ".join(kinds)} and no others.')
    for name, kind in kinds.items():
        if type(body[name]) is not kind:
            raise Refusal(HTTPStatus.BAD_REQUEST, f'Expected {name} to be of type {kind.__name__}, found '
                          f'{type(body[name]).__name__}.')
    return [body[name] for name in kinds]


def _seed(body: dict) -> int:
    seed, = _take(body, seed=int)
    if not 0 <= seed < _SEEDS:
        raise Refusal(HTTPStatus.BAD_REQUEST, f'Expected a seed of 0 to {_SEEDS - 1}.')
    return seed


_SESSION = '/api/sessions/([0-9a-f]{1,64})'
_ROUTES: list[tuple[re.Pattern, str, Callable[..., Answer]]] = [
    (re.compile(pattern), method, function) for pattern, method, function in (
        (f'({"|".join(map(re.escape, _PAGE))})', 'GET', _get_page),
        ('/api/info', 'GET', _get_info),
        ('/api/sessions', 'POST', _add_session),
        (f'{_SESSION}/step', 'POST', _step),
        (f'{_SESSION}/reset', 'POST', _reset),
        (f'{_SESSION}/record', 'POST', _record),
        (f'{_SESSION}/recording\\.gif', 'GET', _get_recording),
    )]
