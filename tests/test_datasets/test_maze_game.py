from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from motionlab.codecs.frame_batch import DOWN, LEFT, NO_ACTION, RIGHT, UP
from motionlab.datasets.maze_game import MazeGame, Mover, make_policy, next_state, render, start_state
from motionlab.datasets.maze_game.maze import OPPOSITE, STEPS, TILES, Maze, make_walls, maze_of
from motionlab.datasets.maze_game.rules import FRIGHT_STEPS, GHOST_HOMES, PLAYER_HOME
from motionlab.datasets.maze_game.state import POWER_PELLET, TICKS, MazeState
from motionlab.utils import ConfigError, DataError
from tests.maze_plays import play


def at(column, row, facing):
    return Mover(column * TICKS, row * TICKS, facing)


def arena(player, ghosts=(), pellets=(), **values):
    """A ring of corridors around one block, with pellets at tiles ``pellets`` and far away."""
    grid = np.ones((TILES, TILES), np.uint8)
    grid[1, 1:14] = grid[13, 1:14] = grid[1:14, 1] = grid[1:14, 13] = 0
    kinds = bytearray(TILES * TILES)
    for (column, row), kind in {(13, 13): 1, **dict(pellets)}.items():
        kinds[row * TILES + column] = kind
    return MazeState(grid.tobytes(), bytes(kinds), player, tuple(ghosts), **values)


def after(state, *actions):
    for action in actions:
        state = next_state(state, action)
    return state


@pytest.mark.parametrize('seed', range(40))
def test_mazes_are_mirrored_connected_and_without_dead_ends(seed):
    maze = Maze(make_walls(seed))
    np.testing.assert_array_equal(maze.grid, maze.grid[:, ::-1])
    assert min(len(maze.exits[tile]) for tile in maze.floor) >= 2
    reached, edge = {maze.floor[0]}, {maze.floor[0]}
    while edge:
        edge = {tile + STEPS[d][1] * TILES + STEPS[d][0] for tile in edge for d in maze.exits[tile]} - reached
        reached |= edge
    assert reached == set(maze.floor) and {home.tile for home in (*GHOST_HOMES, PLAYER_HOME)} <= reached


def test_mazes_differ_by_seed():
    assert len({make_walls(seed) for seed in range(50)}) > 45


@pytest.mark.parametrize('walls', [bytes(10), bytes(225), bytes([1] * 224 + [2])])
def test_walls_that_are_no_maze(walls):
    with pytest.raises(DataError, match='walls'):
        Maze(walls)


def test_an_action_is_read_at_tile_centres_only():
    start = arena(at(5, 1, RIGHT))
    quarter = after(start, NO_ACTION)
    assert quarter.player == Mover(21, 4, RIGHT)
    # Up and down are walls here; between tiles only turning back is read, at any step, and nothing is kept for later.
    for ignored in (UP, DOWN, RIGHT):
        assert after(quarter, ignored) == after(quarter, NO_ACTION)
    assert after(quarter, LEFT).player == Mover(20, 4, LEFT)
    before_corner = arena(Mover(13 * TICKS - 1, 4, RIGHT))
    assert after(before_corner, DOWN, NO_ACTION).player == at(13, 1, RIGHT)  # pressed too early: it stands
    assert after(before_corner, NO_ACTION, DOWN).player == Mover(52, 5, DOWN)


def test_a_wall_is_not_entered_and_facing_stays():
    corner = arena(at(1, 1, LEFT))
    for action in (LEFT, UP, NO_ACTION):
        assert after(corner, action).player == corner.player
    assert after(corner, RIGHT).player == Mover(5, 4, RIGHT)


def test_pellets_are_eaten_before_they_would_be_covered():
    for facing, start in ((RIGHT, 4), (LEFT, 6)):
        state = arena(at(start, 1, facing), pellets={(5, 1): 1})
        one, two = after(state, facing), after(state, facing, facing)
        assert (one.pellets_left, one.score) == (2, 0) and (two.pellets_left, two.score) == (1, 10)


def test_a_power_pellet_starts_the_timer_and_ghosts_flee_at_half_speed():
    state = arena(at(4, 1, RIGHT), [at(9, 1, RIGHT)], pellets={(5, 1): POWER_PELLET})
    state = after(state, RIGHT, RIGHT)
    assert (state.fright, state.score) == (FRIGHT_STEPS, 50)
    moved = [state]
    for _ in range(FRIGHT_STEPS):
        moved.append(after(moved[-1], LEFT))
    assert [s.fright for s in moved] == list(range(FRIGHT_STEPS, -1, -1))
    assert sum(a.ghosts != b.ghosts for a, b in pairwise(moved)) == FRIGHT_STEPS // 2
    distance = [abs(s.ghosts[0].x - moved[0].player.x) for s in moved]
    assert distance[-1] > distance[0]


def test_a_frightened_ghost_is_eaten_and_comes_back_at_home():
    state = replace(start_state(0, 2), fright=20, player=PLAYER_HOME)
    state = replace(state, ghosts=(PLAYER_HOME._replace(x=PLAYER_HOME.x - 5, facing=RIGHT), state.ghosts[1]))
    eaten = after(state, LEFT, LEFT)
    assert eaten.score - state.score >= 200 and eaten.ghosts[0] == GHOST_HOMES[0] and not eaten.caught


def test_being_caught_costs_a_life_and_the_last_one_ends_the_game():
    state = arena(at(5, 1, RIGHT), [at(7, 1, LEFT)], lives=2)
    while not state.caught:
        state = after(state, NO_ACTION)
    assert not state.finished
    again = {after(state, action) for action in range(5)}
    assert len(again) == 1 and (again := again.pop()).player == PLAYER_HOME and again.ghosts == GHOST_HOMES[:1]
    assert again.lives == 1 and again.pellets == state.pellets
    last = replace(state, lives=1)
    assert last.finished and after(last, LEFT) is last


def test_the_last_pellet_ends_the_game():
    state = arena(at(12, 13, RIGHT))
    assert after(state, RIGHT, RIGHT).finished and not after(state, RIGHT).finished


def test_ghosts_are_greedy_and_turn_back_only_when_there_is_no_other_way():
    # The player is behind: the ghost goes on, around the ring.
    assert after(arena(at(3, 1, LEFT), [at(7, 1, RIGHT)]), NO_ACTION).ghosts[0] == Mover(29, 4, RIGHT)
    # Another ghost is in the way: it turns.
    blocked = arena(at(3, 13, LEFT), [at(7, 1, RIGHT), at(8, 1, RIGHT)])
    assert after(blocked, NO_ACTION).ghosts[0].facing == LEFT
    # At a corner of the ring both ways are open when it comes from a wall: the nearer one.
    assert after(arena(at(1, 9, UP), [at(1, 1, LEFT)]), NO_ACTION).ghosts[0].facing == DOWN
    # Ties go up, left, down, right.
    hall = bytes([1] * 15 + [1, *[0] * 13, 1] * 13 + [1] * 15)
    for player, first in (((2, 2), UP), ((12, 2), UP), ((2, 12), LEFT)):
        tie = replace(arena(at(*player, LEFT), [at(7, 7, first)]), walls=hall)
        # The player turns back where it stands, so that its tile stays the same.
        assert after(tie, UP).ghosts[0].facing == first


@pytest.mark.parametrize('num_ghosts', [2, 4])
def test_nothing_overlaps_and_nobody_enters_walls(num_ghosts):
    game = MazeGame(num_ghosts=num_ghosts)
    for seed in range(6):
        for before, _, _, state, _ in play(game, seed, ('mixture', 'greedy_pellets')[seed % 2]):
            maze = maze_of(state.walls)
            touched = [tile for ghost in state.ghosts for tile in ghost.tiles]
            assert len(touched) == len(set(touched))
            assert all(not maze.walls[tile] for mover in (state.player, *state.ghosts) for tile in mover.tiles)
            if state.lives == before.lives and state.score - before.score < 200:
                moves = zip((before.player, *before.ghosts), (state.player, *state.ghosts))
                assert all(abs(a.x - b.x) + abs(a.y - b.y) <= 1 for a, b in moves)


def test_what_is_not_in_the_picture_has_no_effect_on_later_pictures():
    game = MazeGame()
    for seed in range(4):
        for state, _, action, following, _ in play(game, seed):
            other = next_state(replace(state, score=state.score + 70, tick=state.tick + 13, seed=99), action)
            assert replace(other, score=following.score, tick=following.tick, seed=following.seed) == following


def test_step_is_the_oracle_and_the_oracle_leaves_the_game_alone():
    game = MazeGame(maze_seed=5)
    for state, frame, action, following, next_frame in play(game, 0, most=300):
        stands = game.get_state()
        assert game.next_state(state, action) == following
        np.testing.assert_array_equal(game.render(state), frame)
        np.testing.assert_array_equal(game.render(game.next_state(state, action)), next_frame)
        assert game.get_state() == stands


def test_setting_a_state_goes_on_from_there():
    game = MazeGame()
    steps = list(play(game, 2, most=120))
    np.testing.assert_array_equal(game.set_state(steps[40][0]), steps[40][1])
    for _, _, action, state, frame in steps[40:]:
        np.testing.assert_array_equal(game.step(action)[0], frame)
        assert game.get_state() == state


def test_random_ghosts_are_seeded_and_differ_from_greedy_ones():
    def ghosts(seed, random_ghosts):
        game = MazeGame(maze_seed=1, random_ghosts=random_ghosts)
        game.reset(seed)
        state, trace = game.get_state(), []
        for _ in range(120):
            state = game.next_state(state, LEFT)
            trace.append(state.ghosts)
        return trace
    assert ghosts(0, 0.5) == ghosts(0, 0.5) != ghosts(1, 0.5)
    assert ghosts(0, 0.0) == ghosts(1, 0.0) != ghosts(0, 0.5)


def test_info_tells_where_everything_is():
    game = MazeGame(tile_px=8)
    game.reset(0)
    info = game.step(LEFT)[4]
    assert info['player_tile'] == (6.75, 11.0) and info['player_pixel'] == (4 + 54, 8 + 88) and info['facing'] == LEFT
    assert len(info['ghost_pixels']) == len(info['ghost_tiles']) == 2
    assert info['pellets_left'] == game.get_state().pellets_left and info['lives'] == 3 and info['tick'] == 1


def test_frames_have_their_size_and_change_little():
    for tile_px, size in ((4, 64), (8, 128)):
        changed, squared = [], []
        for seed in range(4):
            for _, frame, _, _, following in play(MazeGame(tile_px), seed, most=250):
                assert frame.shape == (size, size, 3) and frame.dtype == np.uint8
                changed.append((frame != following).any(-1).mean())
                squared.append(((frame / 255. - following / 255.)**2).mean())
        assert 0.005 < np.mean(changed) < 0.01            # specification: 0.65 %
        assert 23 < -10 * np.log10(np.mean(squared)) < 27  # specification: 24.4 dB


def test_an_episode_is_truncated_and_then_over():
    game = MazeGame(max_ticks=3, num_ghosts=0)
    game.reset(0)
    assert [game.step(NO_ACTION)[3] for _ in range(3)] == [False, False, True]
    with pytest.raises(ConfigError, match='reset'):
        game.step(NO_ACTION)


@pytest.mark.parametrize('arguments, says', [
    ({'tile_px': 5}, 'tile_px'), ({'num_ghosts': 5}, 'num_ghosts'), ({'max_ticks': 0}, 'max_ticks'),
    ({'random_ghosts': 1.5}, 'random_ghosts')])
def test_arguments_out_of_range(arguments, says):
    with pytest.raises(ConfigError, match=says):
        MazeGame(**arguments)


def test_wrong_use():
    game = MazeGame()
    with pytest.raises(ConfigError, match='reset'):
        game.step(LEFT)
    with pytest.raises(ConfigError, match='seed'):
        game.reset(-1)
    with pytest.raises(ConfigError, match='maze_seed: found -1'):
        MazeGame(maze_seed=-1)
    game.reset(0)
    for action in (5, -1, 255, 1.5, None):
        with pytest.raises(ConfigError, match='expected one of 0 to 4'):
            game.step(action)
    with pytest.raises(ConfigError, match='tile_px'):
        render(game.get_state(), 6)


def test_players_are_reproducible_and_careful_ones_score():
    def score(name, seed):
        *_, (_, _, _, state, _) = play(MazeGame(maze_seed=3), seed, name)
        return state.score
    assert score('mixture', 4) == score('mixture', 4)
    random, greedy = (np.mean([score(name, seed) for seed in range(4)]) for name in ('random_hold', 'greedy_pellets'))
    assert greedy > 2 * random
    actions = np.bincount([action for seed in range(6) for _, _, action, _, _ in play(MazeGame(), seed)], minlength=5)
    assert actions.min() > 0.08 * actions.sum()


def test_unknown_player():
    with pytest.raises(ConfigError, match='greedy_pellets'):
        make_policy('genius', 0)


def test_turning_back_is_the_opposite():
    assert [OPPOSITE[d] for d in (LEFT, RIGHT, UP, DOWN)] == [RIGHT, LEFT, DOWN, UP]
    assert all(STEPS[d][0] == -STEPS[OPPOSITE[d]][0] and STEPS[d][1] == -STEPS[OPPOSITE[d]][1] for d in range(4))
