"""Recordings of games: which episodes are played for which split, and playing them into a store."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.frame_store_writer import FrameStoreWriter, finished_store
from motionlab.datasets.maze_game import MazeGame, make_policy
from motionlab.datasets.maze_game.maze import make_walls
from motionlab.utils import ConfigError

# What a game gives: the first frame, then for each action the frame it leads to, and how the episode ended.
Episode = tuple[np.ndarray, list[int], str]
_SHARES = {'train': 0.8, 'val': 0.05, 'test_seen': 0.05, 'test_unseen': 0.1}
_PIECE = 128  # Frames of an episode of val and test: long enough to roll out.
_MOST_MAZES = 1000
GAME_VERSION = 4  # Raise it when the same recording would give other frames.


@dataclass(frozen=True)
class MazeRecording:
    """What is recorded of the maze game; the same values give the same bytes.

    Args:
        num_frames: Of all splits together: 80 % train, 5 % val, 5 % test_seen, 10 % test_unseen.
        tile_px: 4 for 64 x 64, 8 for 128 x 128 pixels.
        num_mazes: Mazes of train, val and test_seen.
        num_unseen_mazes: Other mazes, of test_unseen; 0 leaves the split out.
        seed: Of mazes and players.
        policy: Who plays, see :data:`motionlab.datasets.maze_game.POLICIES`.
        num_ghosts: Ghosts in the maze.
        max_ticks: Longest episode.
        random_ghosts: How often (0 to 1) a ghost takes a random way; above 0 no frame follows from what is seen.
        fps: Frames per second of play.
    """

    num_frames: int = 50_000
    tile_px: int = 4
    num_mazes: int = 8
    num_unseen_mazes: int = 2
    seed: int = 0
    policy: str = 'mixture'
    num_ghosts: int = 2
    max_ticks: int = 500
    random_ghosts: float = 0.0
    fps: float = 15.0

    def __post_init__(self):
        if self.num_frames < 1 or self.num_mazes < 1 or self.num_unseen_mazes < 0 or self.seed < 0 or self.fps <= 0 \
                or self.num_mazes + self.num_unseen_mazes > _MOST_MAZES:
            raise ConfigError(f'{self}: expected positive numbers, and at most {_MOST_MAZES} mazes.')


def record_maze_game(folder: str | Path, recording: MazeRecording) -> FrameStore:
    """Play the maze game into a store. An interrupted recording goes on where it was; a complete one is opened.

    Training plays whole games; val and test cut pieces of 128 frames out of games, at any place, so that few frames
    show many situations. Every entry of ``meta['episodes']`` has ``maze_seed``, ``seed`` (of the reset), ``policy``,
    ``policy_seed`` and the ``skipped`` actions before its first frame; ``meta['env']`` has what :class:`MazeGame` is
    built with: :func:`replay_states` gives the states behind the frames.

    Raises:
        ConfigError: something else is at ``folder`` (a recording with other settings, too), or an option is out of
            range.
    """
    maker = {'recording': 'maze_game', 'version': GAME_VERSION, **asdict(recording)}
    if (store := finished_store(folder, maker)) is not None:
        return store
    seen, unseen = maze_seeds(recording)
    config = {'tile_px': recording.tile_px, 'num_ghosts': recording.num_ghosts, 'max_ticks': recording.max_ticks,
              'random_ghosts': recording.random_ghosts}
    height, width, _ = MazeGame(maze_seed=seen[0], **config).reset(0).shape
    games: dict[int, MazeGame] = {}

    def play(number: int, split: str) -> tuple[Iterator[np.ndarray | int | str], dict]:
        mazes = unseen if split == 'test_unseen' else seen
        maze_seed = mazes[number % len(mazes)]
        game = games.setdefault(maze_seed, MazeGame(maze_seed=maze_seed, **config))
        made_by = {'maze_seed': maze_seed, 'seed': number, 'policy': recording.policy,
                   'policy_seed': _MOST_MAZES * recording.seed + number, 'skipped': []}
        steps = _play_maze(game, made_by)
        return (steps if split == 'train' else cut_piece(steps, made_by)), made_by

    with FrameStoreWriter(folder, height, width, fps=recording.fps, maker=maker,
                          env={'name': 'MazeGame', 'version': GAME_VERSION, 'config': config}) as writer:
        return record(writer, play, split_frames(recording.num_frames, unseen=bool(unseen)))


def maze_seeds(recording: MazeRecording) -> tuple[list[int], list[int]]:
    """Seeds of mazes that differ from each other: of those seen in training, and of the others."""
    walls, seeds = set(), []
    for candidate in range(_MOST_MAZES * recording.seed, _MOST_MAZES * (recording.seed + 1)):
        if make_walls(candidate) not in walls:
            walls.add(make_walls(candidate))
            seeds.append(candidate)
        if len(seeds) == recording.num_mazes + recording.num_unseen_mazes:
            return seeds[:recording.num_mazes], seeds[recording.num_mazes:]
    raise ConfigError(f'{recording}: there are only {len(seeds)} different mazes with this seed.')


def replay_states(store: FrameStore, episode: int) -> list:
    """The state behind every frame of a recorded episode of the maze game, for the oracle.

    Raises:
        ConfigError: the store is of another game.
    """
    env, made_by = store.meta['env'], store.meta['episodes'][episode]
    if env.get('name') != 'MazeGame' or env.get('version') != GAME_VERSION:
        raise ConfigError(f'{store.path}: holds {env.get("name")} {env.get("version")}, expected MazeGame '
                          f'{GAME_VERSION}: only its states can be played again.')
    game = MazeGame(maze_seed=made_by['maze_seed'], **env['config'])
    game.reset(made_by['seed'])
    state = game.get_state()
    for action in made_by['skipped']:
        state = game.next_state(state, action)
    states = [state]
    for action in store.actions[store.episode(episode)][:-1]:
        states.append(game.next_state(states[-1], int(action)))
    return states


def split_frames(total: int, unseen: bool) -> dict[str, int]:
    """Frames of each split, at least 2: train gets what others leave."""
    shares = {name: share for name, share in _SHARES.items() if name != 'train' and (unseen or name != 'test_unseen')}
    frames = {name: max(2, round(total * share)) for name, share in shares.items()}
    return {'train': max(2, total - sum(frames.values())), **frames}


def record(writer: FrameStoreWriter, play: Callable[[int, str], tuple[Iterator, dict]],
           frames: dict[str, int]) -> FrameStore:
    """Play episodes into ``writer`` until every split has its frames; the last episode of a split is cut to fit.

    Args:
        writer: Possibly with episodes already: they are not played again.
        play: From the number of an episode and its split to what :func:`collect` takes, and what made it. Must depend
            on nothing else.
        frames: To record, by split.
    """
    columns = (TextColumn('{task.description}'), BarColumn(), TextColumn('{task.completed}/{task.total} frames'),
               TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task('Recording', total=sum(frames.values()), completed=writer.num_frames)
        for split, wanted in frames.items():
            while (left := wanted - writer.split_frames(split)) > 0:
                steps, made_by = play(writer.num_episodes, split)
                pictures, actions, end = collect(steps, left)
                writer.add_episode(pictures, np.array(actions, np.int64), end, made_by, split)
                progress.update(task, completed=writer.num_frames)
    return writer.finish()


def collect(steps: Iterator, most: int) -> Episode:
    """Gather one episode.

    Args:
        steps: Yields the first frame, then (action, frame, end) with ``end`` None while the episode goes on.
        most: Frames at which it is cut.
    """
    pictures, actions, end = [next(steps)], [], 'cut'
    for action, picture, ended in steps:
        if len(pictures) >= most:
            break
        pictures.append(picture)
        actions.append(action)
        end = ended or 'cut'
    return np.stack(pictures), actions, end


def cut_piece(steps: Iterator, made_by: dict) -> Iterator:
    """At most 128 frames of a game, from any place in it, drawn by ``made_by['policy_seed']``.

    Args:
        steps: As in :func:`collect`.
        made_by: Told which actions were ``skipped``.
    """
    pictures, actions, end = collect(steps, sys.maxsize)
    rng = np.random.Generator(np.random.PCG64(made_by['policy_seed']))
    start = int(rng.integers(max(1, len(pictures) - _PIECE + 1)))
    stop = min(start + _PIECE, len(pictures))
    made_by['skipped'] = actions[:start]
    yield pictures[start]
    for place in range(start + 1, stop):
        yield actions[place - 1], pictures[place], end if place == len(pictures) - 1 else None


def _play_maze(game: MazeGame, made_by: dict) -> Iterator:
    yield game.reset(made_by['seed'])
    policy = make_policy(made_by['policy'], made_by['policy_seed'])
    end = None
    while end is None:
        action = policy(game.get_state())
        picture, _, terminated, truncated, _ = game.step(action)
        end = 'terminated' if terminated else 'truncated' if truncated else None
        yield action, picture, end
