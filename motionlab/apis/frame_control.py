"""Does a model of the maze game do what it is told? Asked of the game itself, which knows every next state.

From real states, one step per action: sprites are located in the frames that the model makes and compared with where
the rules put them. Locating tolerates the noise of a model (:data:`motionlab.datasets.maze_game.IMAGINED`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from motionlab.apis.frame_prediction import check_store, predict_frames, take_windows, window_rows, window_seeds
from motionlab.codecs.frame_batch import ACTION_NAMES, NO_ACTION
from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.game_recording import replay_states
from motionlab.datasets.maze_game import IMAGINED, MazeGame, MazeState, in_wall, locate
from motionlab.datasets.maze_game.state import MAX_GHOSTS
from motionlab.models.frame_predictor import FramePredictor
from motionlab.models.frame_rollout import FrameOptions
from motionlab.utils import DataError

# What is counted, and whether a large share is good.
CONTROL_NAMES = {
    'position': 'player where the rules put it',
    'position_moving': 'the same, where it moves',
    'position_obeyed': 'the same, where the action leads elsewhere than no action',
    'position_copy_last': 'where it stays: what showing the last frame again would get right',
    'one_player': 'exactly one player to be seen',
    'player_in_wall': 'player in a wall',
    'ghost_positions': 'ghosts where the rules put them',
    'ghost_errors': 'a ghost missing, doubled or invented',
    'pellets': 'all pellets as the rules leave them',
    'new_pellets': 'a pellet where none was',
}


@dataclass(frozen=True)
class Share:
    """How often something was so.

    Args:
        count: How often.
        total: Out of how many.
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """0 to 1; NaN of nothing."""
        return self.count / self.total if self.total else float('nan')

    @property
    def error(self) -> float:
        """Standard error of the binomial distribution, as if steps were independent; NaN of nothing.

        Steps from one state are not: the error of a hard state counts up to five times.
        """
        return (self.value * (1 - self.value) / self.total) ** 0.5 if self.total else float('nan')

    def __add__(self, other: 'Share') -> 'Share':
        return Share(self.count + other.count, self.total + other.total)

    def __str__(self) -> str:
        return f'{self.value:.1%} +- {self.error:.1%} ({self.count} of {self.total})' if self.total else '- (0 of 0)'

    def as_dict(self) -> dict:
        """For JSON; None where there was nothing."""
        return dict(count=self.count, total=self.total, value=self.value if self.total else None,
                    error=self.error if self.total else None)


def has_oracle(store: FrameStore) -> bool:
    """Whether a store is of the maze game, whose rules tell every next state."""
    return store.meta['env'].get('name') == 'MazeGame'


def evaluate_control(model: FramePredictor, store: FrameStore, split: str, *, options: FrameOptions | None = None,
                     num_states: int = 200, batch_size: int = 64, show_progress: bool = False) -> dict[str, Share]:
    """One step per action from real states of the maze game.

    Args:
        model: Any mode; it has the same one afterwards.
        store: Of the maze game.
        split: Whose episodes.
        options: Solver steps, guidance, seed. Noise belongs to the state: all its actions begin with the same.
        num_states: At most so many, evenly spread over the windows of the split; those of a finished game are left out.
        batch_size: Steps at once.
        show_progress: Show progress bars.

    Returns:
        Name of :data:`CONTROL_NAMES` -> :class:`Share` of steps (``ghost_positions``: of ghosts; ``player_in_wall``: of
        players that are to be seen).

    Raises:
        ConfigError: the store is of another game, or the model is not made for it.
        DataError: no episode is long enough, states cannot be played again, or what is made is not finite.
    """
    check_store(model, store)
    options, steps = options or FrameOptions(), model.num_history
    rows = window_rows(store, split, steps, limit=num_states)
    situations = oracle_states(store, rows - 1)
    kept = [number for number, (_, state) in enumerate(situations) if not state.finished]
    rows, situations = rows[kept], [situations[number] for number in kept]
    history, _, actions = take_windows(store, rows, steps, 1)
    count = len(ACTION_NAMES)
    told = actions.repeat_interleave(count, dim=0)                                         # (n A, S)
    told[:, -1] = torch.arange(count).repeat(len(rows))
    seeds = [seed for seed in window_seeds(options.seed, rows) for _ in range(count)]
    frames = predict_frames(model, history.repeat_interleave(count, dim=0), told, options=options, seeds=seeds,
                            batch_size=batch_size, show_progress='Acting' if show_progress else '')
    frames = frames[:, 0].unflatten(0, (len(rows), count))                                 # (n, A, H, W, 3)
    totals = {name: Share(0, 0) for name in CONTROL_NAMES}
    numbered = track(list(enumerate(situations)), 'Locating', disable=not show_progress, transient=True)
    for number, (game, state) in numbered:
        for name, share in _judge(game, state, frames[number]).items():
            totals[name] += share
    return totals


def oracle_states(store: FrameStore, rows: np.ndarray) -> list[tuple[MazeGame, MazeState]]:
    """The game and its state behind each of these rows of a store.

    Raises:
        ConfigError: the store is of another game.
        DataError: what is played again is not what was recorded.
    """
    found, played = [], {}
    for row, episode in zip(rows.tolist(), store.episode_of(rows).tolist()):
        first = store.episode(episode).start
        if episode not in played:
            states = replay_states(store, episode)
            game = MazeGame(maze_seed=store.meta['episodes'][episode]['maze_seed'], **store.meta['env']['config'])
            if not np.array_equal(game.render(states[0]), store.frames[first]):
                raise DataError(store.path, f'episode {episode}', 'frames that its seeds and actions do not give',
                                'those of the maze game', 'It was recorded with another version: record it again.')
            played[episode] = game, states
        game, states = played[episode]
        found.append((game, states[row - first]))
    return found


def _judge(game: MazeGame, state: MazeState, frames: Tensor) -> Mapping[str, Share]:
    """Shares over the actions from one state; frames (A, H, W, 3) are what the model made of them."""
    following = [game.next_state(state, action) for action in range(len(frames))]
    places = [each.player[:2] for each in following]
    before = np.frombuffer(state.pellets, np.uint8)
    shares: dict[str, Share] = {name: Share(0, 0) for name in CONTROL_NAMES}

    def count(name: str, true: bool) -> None:
        shares[name] += Share(int(true), 1)

    for frame, after, place in zip(frames.numpy(), following, places):
        seen = locate(frame, IMAGINED)
        right, stays = seen.player is not None and seen.player[:2] == place, place == state.player[:2]
        count('position', right)
        count('position_copy_last', stays)
        if not stays or place != places[NO_ACTION]:
            count('position_moving', right)
        if place != places[NO_ACTION]:
            count('position_obeyed', right)
        count('one_player', seen.num_players == 1)
        if seen.player is not None:
            count('player_in_wall', in_wall(state.walls, seen.player))
        wanted = (1,) * len(after.ghosts) + (0,) * (MAX_GHOSTS - len(after.ghosts))
        count('ghost_errors', seen.num_ghosts != wanted)
        for ghost, found in zip(after.ghosts, seen.ghosts):
            count('ghost_positions', found is not None and found[:2] == ghost[:2])
        pellets = seen.pellets.ravel()
        count('pellets', bool((pellets == np.frombuffer(after.pellets, np.uint8)).all()))
        count('new_pellets', bool(((pellets > 0) & (before == 0)).any()))
    return shares
