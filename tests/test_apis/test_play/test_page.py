"""The page in a browser without a window: one start, one story."""

import base64
import time
from collections.abc import Callable
from io import BytesIO
from shutil import which

import numpy as np
import pytest
from PIL import Image

from motionlab.apis.play.session import PlaySession
from motionlab.datasets.maze_game import MazeGame
from tests.play_servers import make_player, serving

CHROMIUM = which('chromium') or which('chromium-browser') or which('google-chrome')
SECONDS = 300


@pytest.fixture(scope='module')
def page():
    if CHROMIUM is None:
        pytest.skip('there is no chromium: apt-get install chromium')
    sync_api = pytest.importorskip('playwright.sync_api')
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        page = browser.new_page(viewport={'width': 1000, 'height': 760})
        page.broken = []
        page.on('pageerror', lambda error: page.broken.append(str(error)))
        yield page
        browser.close()


def _until(page, holds: Callable[[], bool], what: str) -> None:
    """Wait, with the page alive. Its policy allows no script but its own, so conditions are not evaluated in it."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, f'{what}: {page.inner_text("body")}'
        page.wait_for_timeout(20)


def _step(page) -> int:
    return int(page.inner_text('#step'))


def _go_on(page, steps: int = 3) -> None:
    wanted = _step(page) + steps
    _until(page, lambda: _step(page) >= wanted, f'step {wanted}')


def _pixels(page, name: str) -> np.ndarray:
    source = page.get_attribute(f'#{name}', 'src')
    return np.array(Image.open(BytesIO(base64.b64decode(source.partition(',')[2]))).convert('RGB'))


def _reset(page, seed: int) -> None:
    page.fill('#seed', str(seed))
    page.press('#seed', 'Enter')
    _until(page, lambda: page.inner_text('#status') == f'Playing seed {seed}.', 'reset')


def test_page_is_played(page, tmp_path):
    player = make_player()
    with serving(player, seed=5) as server:
        port = server.server_address[1]
        page.goto(server.url)
        _until(page, lambda: page.inner_text('#status') == 'Playing seed 5.', 'begin')
        _go_on(page)
        model = _pixels(page, 'model')
        assert _pixels(page, 'real').shape == (64, 64, 3) and page.input_value('#seed') == '5'
        assert page.inner_text('#action') == 'none' and page.input_value('#limit') == '15'
        assert page.eval_on_selector('#model', 'image => image.naturalWidth * 7 == image.clientWidth')

        # Pause: nothing goes on; R begins anew all the same.
        page.keyboard.press('Space')
        assert page.inner_text('#pause') == 'Go on'
        page.wait_for_timeout(300)
        stood, shown = _step(page), _pixels(page, 'model')
        assert (shown != model).any(), 'frames change'
        page.wait_for_timeout(300)
        assert _step(page) == stood
        page.keyboard.press('KeyR')
        _until(page, lambda: _step(page) == 0, 'reset')
        np.testing.assert_array_equal(_pixels(page, 'real'), MazeGame().reset(5))

        # Keys steer both games, whichever kind, for as long as they are down.
        for key, name in (('ArrowUp', 'UP'), ('KeyA', 'LEFT'), ('ArrowDown', 'DOWN'), ('KeyD', 'RIGHT')):
            page.keyboard.down(key)
            if page.inner_text('#pause') == 'Go on':
                page.keyboard.press('KeyP')
            _until(page, lambda name=name: page.inner_text('#action') == name, key)
            page.keyboard.up(key)
            _until(page, lambda: page.inner_text('#action') == 'none', f'{key} let go')
        page.hover('button[data-action=LEFT]')
        page.mouse.down()
        _until(page, lambda: page.inner_text('#action') == 'LEFT', 'button')
        page.mouse.up()
        _until(page, lambda: page.inner_text('#action') == 'none', 'button let go')
        assert float(page.inner_text('#fps')) > 0 and page.inner_text('#model-ms').isdigit()

        # Actions reach the game: under the same ones the frames on the page are those of a game played without it.
        asked = []
        page.on('request', lambda request: asked.append(request) if request.url.endswith('/step') else None)
        _reset(page, 3)
        asked.clear()
        page.keyboard.down('ArrowUp')
        _go_on(page, 6)
        page.keyboard.press('KeyP')
        page.wait_for_timeout(300)
        actions = [request.post_data_json for request in asked]
        actions = {sent['step']: sent['action'] for sent in actions if sent['step'] <= _step(page)}
        game, names = PlaySession(player, 3), player.starts.action_names
        for number in range(1, _step(page) + 1):
            view = game.step(names.index(actions.get(number, 'NO_ACTION')))
        assert 'UP' in actions.values()
        for name, png in (('model', view.model_png), ('real', view.real_png)):
            np.testing.assert_array_equal(_pixels(page, name), np.array(Image.open(BytesIO(png)).convert('RGB')))
        page.keyboard.up('ArrowUp')

        # What is recorded can be saved.
        page.click('#record')
        page.click('#pause')
        _until(page, lambda: page.inner_text('#record') == 'Stop (5)', 'recording')
        page.click('#record')
        _until(page, lambda: page.is_visible('#download'), 'recorded')
        with page.expect_download() as download:
            page.click('#download')
        download.value.save_as(tmp_path / 'play.gif')
        assert Image.open(tmp_path / 'play.gif').n_frames >= 5

        # A speed limit is kept.
        page.select_option('#limit', '5')
        _go_on(page)  # The next frame was due already.
        first, begun = _step(page), time.monotonic()
        _go_on(page, 3)
        assert (_step(page) - first - 1) / (time.monotonic() - begun) < 5.2
        page.select_option('#limit', '30')
        _go_on(page)

        # A wrong seed is told, and does no harm.
        page.evaluate('document.getElementById("seed").value = "-3"')
        page.keyboard.press('KeyR')
        _until(page, lambda: 'Expected a seed' in page.inner_text('#status'), 'wrong seed')
        _reset(page, 4)
        page.click('#pause')
        _go_on(page)

    # The server is gone: the page says so, tries again, and goes on when there is one again.
    _until(page, lambda: 'Connection lost, trying again' in page.inner_text('#status'), 'lost')
    assert page.get_attribute('#status', 'data-kind') == 'lost'
    with serving(player, port):
        _until(page, lambda: 'The server was started anew' in page.inner_text('#status'), 'back')
        assert 'with seed 4' in page.inner_text('#status')
        _go_on(page)
        game = page.get_attribute('#download', 'href')

        # One answer on its way is lost: the step is not made twice.
        lost = []

        def lose(route):
            answer = route.fetch()
            lost.append(answer.json()['step'])
            route.abort()
        page.route('**/step', lose, times=1)
        _until(page, lambda: bool(lost), 'an answer on its way')
        _until(page, lambda: page.inner_text('#status') == 'Connected again.', 'asked again')
        _go_on(page)
        assert page.get_attribute('#download', 'href') == game, 'the same game'
    player.close()
    assert not page.broken
