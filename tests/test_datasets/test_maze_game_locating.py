from dataclasses import replace

import numpy as np
import pytest

from motionlab.datasets.maze_game import (
    IMAGINED,
    MazeGame,
    Mover,
    in_wall,
    locate,
    next_state,
    read_state,
    render,
)
from motionlab.datasets.maze_game.state import MAX_GHOSTS
from motionlab.utils import DataError
from tests.maze_plays import play


def interesting(tile_px, num_ghosts, seeds=range(8), every=41):
    """States of many mazes: some of each episode, and those in which something rare happens."""
    for seed in seeds:
        game = MazeGame(tile_px, num_ghosts=num_ghosts)
        rare = 0
        for number, (_, _, _, state, frame) in enumerate(play(game, seed, ('mixture', 'greedy_pellets')[seed % 2])):
            if number % every == 0 or state.caught or (state.fright and rare < 6):
                rare += state.fright > 0
                yield state, frame


def shown(state):
    return replace(state, score=0, tick=0, seed=0)


@pytest.mark.parametrize('tile_px, num_ghosts', [(4, 2), (4, 4), (8, 4)])
def test_the_state_can_be_read_off_one_frame(tile_px, num_ghosts):
    """So the next frame is a pure function of a frame and an action: nothing is hidden."""
    kinds = {'caught': 0, 'fright': 0}
    for state, frame in interesting(tile_px, num_ghosts, range(5 if tile_px == 4 else 3)):
        read = read_state(frame)
        assert read == shown(state)
        kinds['caught'] += state.caught
        kinds['fright'] += state.fright > 0
        for action in range(5):
            np.testing.assert_array_equal(render(next_state(read, action), tile_px),
                                          render(next_state(state, action), tile_px))
    assert min(kinds.values()) >= 3, kinds


def test_located_is_what_the_state_says():
    for state, frame in interesting(4, 3, range(2)):
        seen = locate(frame)
        assert (seen.player, seen.ghosts) == (state.player, (*state.ghosts, None))
        assert (seen.num_players, seen.num_ghosts, seen.caught) == (1, (1, 1, 1, 0), state.caught)
        assert (seen.pellets_left, seen.lives, seen.fright) == (state.pellets_left, state.lives, state.fright)
        assert seen.walls.astype(np.uint8).tobytes() == state.walls
        assert not any(in_wall(state.walls, mover) for mover in (state.player, *state.ghosts))


def test_every_way_of_being_caught_shows_the_ghost():
    """All offsets at which a ghost can first touch the player, all facings, over pellets or not."""
    game = MazeGame()
    game.reset(0)
    state = replace(game.get_state(), walls=bytes([1] * 15 + [1, *[0] * 13, 1] * 13 + [1] * 15))  # one big hall
    for kind in (0, 1):
        for dx in range(-4, 5):
            for dy in range(-4, 5):
                if max(abs(dx), abs(dy)) < 2:
                    continue  # Both move a quarter of a tile per step: they never get this close.
                facing = (dx + 3 * dy) % 4
                looks = replace(state, pellets=bytes([kind if not wall else 0 for wall in state.walls]),
                                player=Mover(28, 28, (facing + kind) % 4), ghosts=(Mover(28 + dx, 28 + dy, facing),))
                if kind:
                    eaten = bytearray(looks.pellets)
                    for tile in looks.player.tiles:
                        eaten[tile] = 0
                    looks = replace(looks, pellets=bytes(eaten))
                for tile_px in ((4, 8)[(dx + dy) % 2],):
                    seen = locate(render(looks, tile_px))
                    assert (seen.player, seen.ghosts[0], seen.caught) == (looks.player, looks.ghosts[0], looks.caught)


def test_noisy_pictures_within_the_tolerance():
    rng = np.random.default_rng(0)
    for state, frame in interesting(4, 2, range(2), every=60):
        if state.caught:
            continue
        blurred = 0.85 * frame + 0.1 * np.roll(frame, 1, 0) + 0.05 * np.roll(frame, -1, 1)
        noisy = np.clip(blurred + rng.normal(0, 12, frame.shape), 0, 255).astype(np.uint8)
        seen = locate(noisy, IMAGINED)
        assert (seen.player[:2], [g[:2] for g in seen.ghosts[:2]]) == (state.player[:2], [g[:2] for g in state.ghosts])
        assert seen.ghosts[2:] == (None, None) and seen.num_players == 1
        assert locate(noisy).player is None
        assert seen.lives == state.lives and seen.fright == state.fright
        assert seen.walls.astype(np.uint8).tobytes() == state.walls
        assert (seen.pellets.ravel() != np.frombuffer(state.pellets, np.uint8)).sum() <= 1


def test_missing_and_doubled_sprites_are_counted():
    game = MazeGame()
    frame = game.reset(0)
    state = game.get_state()
    empty = render(replace(state, ghosts=()))
    assert locate(empty, IMAGINED).ghosts == (None,) * MAX_GHOSTS
    without = frame.copy()
    y, x = 4 + state.player.y, 2 + state.player.x
    without[y:y + 4, x:x + 4] = 0
    assert locate(without, IMAGINED).player is None
    twice = frame.copy()
    twice[y:y + 4, x + 8:x + 12] = frame[y:y + 4, x:x + 4]
    assert locate(twice).num_players == 2
    assert in_wall(state.walls, Mover(0, 4, 0)) and in_wall(state.walls, Mover(56, 56, 0))


@pytest.mark.parametrize('shape, dtype', [((60, 64, 3), np.uint8), ((64, 64, 3), np.float64), ((64, 64), np.uint8)])
def test_not_a_picture(shape, dtype):
    with pytest.raises(DataError, match='shape and type'):
        locate(np.zeros(shape, dtype))


def test_pictures_that_the_game_cannot_make():
    frame = MazeGame().reset(0)
    with pytest.raises(DataError, match='sprites'):
        read_state(np.zeros_like(frame))
    frame = frame.copy()
    frame[30, 30] ^= 4
    with pytest.raises(DataError, match='pixels'):
        read_state(frame)
