import base64
import json
import logging
import socket
import struct
import threading
import time
from http.client import HTTPConnection
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from motionlab.apis.play import FramePlayer, GameStarts, PlayServer, PlayTable
from motionlab.apis.play.server import _HEADERS
from motionlab.apis.play.session import PlaySession
from motionlab.codecs.frame_batch import ACTION_NAMES
from motionlab.datasets.maze_game import MazeGame
from motionlab.utils import ConfigError
from tests.play_servers import Client, make_player, serving

SESSION = '/api/sessions'


@pytest.fixture(scope='module')
def player():
    player = make_player()
    yield player
    player.close()


@pytest.fixture(scope='module')
def server(player):
    with serving(player) as server:
        yield server


@pytest.fixture
def client(server):
    client = Client(server)
    yield client
    client.connection.close()


@pytest.fixture
def path(client):
    """Of a game."""
    return f'{SESSION}/{client.post(SESSION, seed=3)["session"]}'


@pytest.fixture
def logged(monkeypatch):
    """What the server logs."""
    found = []
    monkeypatch.setattr('motionlab.apis.play.server.print_log', lambda text, logger, level: found.append((text, level)))
    return found


def _pixels(text: str) -> np.ndarray:
    return np.array(Image.open(BytesIO(base64.b64decode(text))).convert('RGB'))


def test_page_and_its_parts(client):
    for path, kind, words in (('/', 'text/html', b'id="model"'), ('/play.js', 'text/javascript', b'ArrowLeft'),
                              ('/play.css?x=1', 'text/css', b'pixelated')):
        client.connection.request('GET', path)
        response = client.connection.getresponse()
        content = response.read()
        assert response.status == 200 and words in content and int(response.headers['Content-Length']) == len(content)
        assert response.headers['Content-Type'] == f'{kind}; charset=utf-8'
        assert _HEADERS.items() <= dict(response.headers).items()


def test_playing(client):
    info = client.ask('GET', '/api/info')[1]
    assert info == {'actions': list(ACTION_NAMES), 'fps': 15.0, 'height': 64, 'width': 64, 'real': True, 'seed': 0}
    begun, real = client.post(SESSION, seed=3), MazeGame()
    path = f'{SESSION}/{begun["session"]}'
    assert begun['step'] == 0
    np.testing.assert_array_equal(_pixels(begun['model']), real.reset(3))
    frames = []
    for number, action in enumerate(('UP', 'LEFT', 'NO_ACTION', 'DOWN'), 1):
        frames.append(client.post(f'{path}/step', step=number, action=action))
        np.testing.assert_array_equal(_pixels(frames[-1]['real']), real.step(ACTION_NAMES.index(action))[0])
        assert frames[-1]['step'] == number and _pixels(frames[-1]['model']).shape == (64, 64, 3)
    assert client.post(f'{path}/step', step=4, action='DOWN') == frames[-1], 'asked for again'
    assert client.post(f'{path}/reset', seed=3)['model'] == begun['model']
    assert client.post(f'{path}/step', step=1, action='UP')['model'] == frames[0]['model']


def test_recording(client, path):
    assert client.ask('GET', f'{path}/recording.gif') == (404, {'error': 'Nothing was recorded.'})
    client.post(f'{path}/record', on=True)
    for number in (1, 2, 3):
        assert client.post(f'{path}/step', step=number, action='UP')['recorded'] == number + 1
    assert not client.post(f'{path}/record', on=False)['recording']
    client.connection.request('GET', f'{path}/recording.gif')
    response = client.connection.getresponse()
    gif = Image.open(BytesIO(response.read()))
    assert response.headers['Content-Type'] == 'image/gif' and 'play.gif' in response.headers['Content-Disposition']
    assert (gif.size, gif.n_frames) == ((264, 128), 4)


STEP = {'step': 1, 'action': 'UP'}
WRONG = {  # method, path, body or bytes, headers -> status, words of the sentence
    'no json': ('POST', SESSION, b'{"seed": ', {}, 400, 'not JSON'),
    'no utf-8': ('POST', SESSION, b'{"seed": "\xff\xfe"}', {}, 400, 'not JSON'),
    'deep json': ('POST', SESSION, b'[' * 4000, {}, 400, 'not JSON'),
    'nothing': ('POST', SESSION, b'', {}, 400, 'not JSON'),
    'a list': ('POST', SESSION, [1], {}, 400, 'found a list'),
    'no seed': ('POST', SESSION, {}, {}, 400, 'the keys seed'),
    'unknown key': ('POST', SESSION, {'seed': 0, 'speed': 1}, {}, 400, 'the keys seed'),
    'seed of another type': ('POST', SESSION, {'seed': '0'}, {}, 400, 'int, found str'),
    'seed that is true': ('POST', SESSION, {'seed': True}, {}, 400, 'int, found bool'),
    'seed that is no integer': ('POST', SESSION, b'{"seed": 1e3}', {}, 400, 'int, found float'),
    'seed that is NaN': ('POST', SESSION, b'{"seed": NaN}', {}, 400, 'int, found float'),
    'negative seed': ('POST', SESSION, {'seed': -1}, {}, 400, 'a seed of 0 to'),
    'large seed': ('POST', SESSION, {'seed': 2**31}, {}, 400, 'a seed of 0 to'),
    'endless seed': ('POST', SESSION, b'{"seed": ' + b'9' * 3000 + b'}', {}, 400, 'a seed of 0 to'),
    'unknown action': ('POST', 'GAME/step', {**STEP, 'action': 'JUMP'}, {}, 400, 'LEFT, RIGHT, UP, DOWN, NO_ACTION'),
    'number of an action': ('POST', 'GAME/step', {**STEP, 'action': 2}, {}, 400, 'str, found int'),
    'no step': ('POST', 'GAME/step', {'action': 'UP'}, {}, 400, 'the keys step, action'),
    'a later step': ('POST', 'GAME/step', {**STEP, 'step': 5}, {}, 409, 'the game is at step 0'),
    'recording': ('POST', 'GAME/record', {'on': 1}, {}, 400, 'bool, found int'),
    'unknown game': ('POST', f'{SESSION}/abc/step', STEP, {}, 404, 'started anew'),
    'no name': ('POST', f'{SESSION}//step', STEP, {}, 404, 'nothing at'),
    'wrong path': ('GET', '/favicon.ico', None, {}, 404, 'nothing at /favicon.ico'),
    'way out': ('GET', '/../session.py', None, {}, 404, 'nothing at'),
    'encoded way out': ('GET', '/%2e%2e/session.py', None, {}, 404, 'nothing at'),
    'page by post': ('POST', '/', {}, {}, 405, '/ takes GET, not POST'),
    'step by get': ('GET', 'GAME/step', None, {}, 405, 'takes POST, not GET'),
    'put': ('PUT', SESSION, {'seed': 0}, {}, 405, 'takes POST, not PUT'),
    'delete': ('DELETE', '/api/info', None, {}, 405, 'takes GET, not DELETE'),
    'options': ('OPTIONS', SESSION, None, {}, 405, 'takes POST, not OPTIONS'),
    'unknown method': ('BREW', '/', None, {}, 405, 'BREW'),
    'huge body': ('POST', SESSION, b' ' * 2**23, {}, 413, 'More than 4096 bytes'),
    'huge body of nothing': ('POST', '/nowhere', b' ' * 2**23, {}, 404, 'nothing at'),
    'endless length': ('POST', SESSION, b'{}', {'Content_Length': '9' * 40}, 413, 'More than 4096 bytes'),
    'length of letters': ('POST', SESSION, b'{}', {'Content_Length': 'two'}, 400, 'no number'),
    'negative length': ('POST', SESSION, b'{}', {'Content_Length': '-1'}, 400, 'no number'),
    'in pieces': ('POST', SESSION, b'2\r\n{}\r\n0\r\n\r\n', {'Transfer_Encoding': 'chunked', 'Content_Length': ''},
                  411, 'how long'),
    'form of another page': ('POST', SESSION, b'seed=0', {'Content_Type': 'text/plain'}, 415, 'application/json'),
    'other name of this machine': ('GET', '/', None, {'Host': 'evil.example:8000'}, 403, 'localhost'),
    'name that is none': ('GET', '/', None, {'Host': '[::1'}, 403, 'localhost'),
    'long path': ('GET', '/' + 'a' * 70000, None, {}, 414, 'URI'),
    'large header': ('GET', '/', None, {'X': 'a' * 70000}, 431, ''),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_request_gets_one_sentence_and_the_game_goes_on(server, client, path, name, logged):
    method, where, body, headers, status, words = WRONG[name]
    raw = {'raw': body} if isinstance(body, bytes) else {'body': body}
    found, content = Client(server).ask(method, where.replace('GAME', path), **raw, **headers)
    assert found == status and list(content) == ['error']
    assert words in content['error'] and content['error'].endswith('.') and '\n' not in content['error']
    assert client.post(f'{path}/step', **STEP)['step'] == 1
    assert not logged


def test_connection_is_kept_after_a_wrong_request(client, path):
    client.connection.connect()
    before = client.connection.sock
    assert client.ask('POST', f'{path}/step', {'action': 'UP'})[0] == 400
    assert client.ask('GET', '/nowhere')[0] == 404
    assert client.ask('HEAD', '/') == (405, {})
    client.post(f'{path}/step', **STEP)
    assert client.connection.sock is before


POST = b'POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'


@pytest.mark.parametrize('sent', [
    b'', b'\x16\x03\x01\x02\x00\x01\x00', b'GET\r\n\r\n', b'GET / HTTP/9.9\r\n\r\n', b'\r\n' * 50,
    b'GET / HTTP/1.1\r\nHost: localhost\r\n', b'GET / HTTP/1.1\r\n: x\r\n\r\n',
    POST + b'Content-Length: 100\r\n\r\n{"seed"'])
@pytest.mark.parametrize('reset', [False, True])
def test_clients_that_talk_nonsense_or_go_away(server, client, path, sent, reset, logged):
    with socket.create_connection(('127.0.0.1', server.server_address[1])) as raw:
        raw.sendall(sent)
        if reset:  # Close without a word, as a client that is killed.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        else:
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(10)
            while raw.recv(2**16):
                pass
    assert client.post(f'{path}/step', **STEP)['step'] == 1
    assert not logged


def test_client_that_leaves_before_the_answer(server, client, path, logged):
    body = json.dumps(STEP).encode()
    for _ in range(3):
        with socket.create_connection(('127.0.0.1', server.server_address[1])) as raw:
            raw.sendall(POST.replace(b'/api/sessions', f'{path}/step'.encode())
                        + b'Content-Length: %d\r\n\r\n%s' % (len(body), body))
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    assert client.post(f'{path}/step', **STEP)['step'] == 1, 'made once, whoever heard of it'
    assert client.post(f'{path}/step', step=2, action='UP')['step'] == 2
    assert not logged


def test_failure_inside_is_answered_and_logged(client, path, monkeypatch, logged):
    with monkeypatch.context() as broken:
        broken.setattr(PlaySession, 'step', lambda *args: 1 / 0)
        status, content = client.ask('POST', f'{path}/step', STEP)
    assert (status, content) == (500, {'error': 'The server failed: ZeroDivisionError.'})
    (text, level), = logged
    assert level == logging.ERROR and text.startswith(f'POST {path}/step: ZeroDivisionError')
    assert client.post(f'{path}/step', **STEP)['step'] == 1


def test_oldest_game_ends_when_there_are_too_many(player):
    with serving(player, most=2) as server:
        client = Client(server)
        first, second = (f'{SESSION}/{client.post(SESSION, seed=seed)["session"]}' for seed in (0, 1))
        client.post(f'{first}/step', **STEP)
        third = f'{SESSION}/{client.post(SESSION, seed=2)["session"]}'
        status, content = client.ask('POST', f'{second}/step', STEP)
        assert status == 410 and 'more than 2' in content['error'], 'not played for longest'
        assert client.post(f'{first}/step', step=2, action='UP')['step'] == 2
        assert client.post(f'{third}/step', **STEP)['step'] == 1


def test_games_are_played_at_the_same_time(server, player):
    """Eight pages; each sees what it would see alone."""
    alone, seen = {}, {}
    for seed in range(8):
        game = PlaySession(player, seed)
        alone[seed] = [base64.b64encode(game.step(action).model_png).decode() for action in (0, 1, 2, 3)]

    def play(seed):
        client = Client(server)
        path = f'{SESSION}/{client.post(SESSION, seed=seed)["session"]}'
        seen[seed] = [client.post(f'{path}/step', step=number, action=ACTION_NAMES[number - 1])['model']
                      for number in (1, 2, 3, 4)]
    threads = [threading.Thread(target=play, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == alone


def test_server_ends_connections_and_comes_back_at_the_same_port(player):
    with serving(player) as server:
        port = server.server_address[1]
        client = Client(server)
        path = f'{SESSION}/{client.post(SESSION, seed=0)["session"]}'
    begun = time.monotonic()
    with pytest.raises((OSError, ConnectionError)):
        client.ask('GET', '/api/info')
    assert time.monotonic() - begun < 10, 'told at once, not after a time-out'
    with serving(player, port) as server:
        assert server.url == f'http://127.0.0.1:{port}/'
        assert Client(server).ask('POST', f'{path}/step', STEP)[0] == 404
        with pytest.raises(ConfigError, match=f'port {port}: cannot be listened on'):
            PlayServer(PlayTable(player), port=port)


def test_options_out_of_range(player):
    for wrong in (dict(most=0), dict(seed=-1), dict(seed=2**31)):
        with pytest.raises(ConfigError, match='PlayTable'):
            PlayTable(player, **wrong)
    with pytest.raises(ConfigError, match='port 70000'):
        PlayServer(PlayTable(player), port=70000)


def test_open_server_answers_to_any_name(player):
    server = PlayServer(PlayTable(player), host='0.0.0.0', port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02})
    thread.start()
    connection = HTTPConnection('127.0.0.1', server.server_address[1], timeout=30)
    connection.request('GET', '/api/info', headers={'Host': 'desk.example:8000'})
    assert connection.getresponse().status == 200
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_the_real_game():
    player = FramePlayer(make_player().model, GameStarts(real=False))
    with serving(player) as server:
        client = Client(server)
        assert client.ask('GET', '/api/info')[1]['real'] is False
        assert client.post(SESSION, seed=0)['real'] is None
    player.close()
