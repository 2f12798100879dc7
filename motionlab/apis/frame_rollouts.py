"""How long what a model imagines stays like the game: rollouts against recordings, and what a frame costs."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from motionlab.apis.frame_control import Share, has_oracle, oracle_states
from motionlab.apis.frame_prediction import check_store, predict_frames, take_windows, window_rows, window_seeds
from motionlab.apis.pose_prior import evaluating
from motionlab.datasets.frame_store import FrameStore
from motionlab.datasets.maze_game import IMAGINED, locate
from motionlab.evaluation.functional.frames import drift_horizon, frame_mse, horizons, psnr_of_mse
from motionlab.models.frame_predictor import FramePredictor
from motionlab.models.frame_rollout import FrameOptions, FrameRollout
from motionlab.utils import ConfigError

WAYS = ('free', 'teacher_forced', 'copy_first', 'copy_last')
PARTS = ('condition', 'solver', 'decode', 'frame')


@dataclass(frozen=True)
class RolloutReport:
    """Rollouts from real frames under the recorded actions.

    Args:
        num_rollouts: How many.
        horizons: Frames ahead: 1, 2, 4, ... and the last.
        psnr: Of the mean squared error over the rollouts at each horizon, dB: ``free`` sees its own frames,
            ``teacher_forced`` the real ones up to the last, ``copy_first`` is the newest real frame shown throughout,
            ``copy_last`` the real frame before.
        drift: The first frame, counted from 1, that is worse than copy-first; None where there is none.
        positions: In the maze game, how often the player of the free rollout is where the rules put it, at each
            horizon; None elsewhere.
        frames: (k, N, H, W, 3) uint8 of the first free rollouts, to look at.
        targets: (k, N, H, W, 3) uint8 of the recording.
        actions: (k, N) that led to them.
    """

    num_rollouts: int
    horizons: list[int]
    psnr: dict[str, list[float]]
    drift: int | None
    positions: list[Share] | None
    frames: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    actions: np.ndarray = field(repr=False)

    def as_dict(self) -> dict:
        """All numbers, for JSON."""
        positions = None if self.positions is None else [share.as_dict() for share in self.positions]
        return dict(num_rollouts=self.num_rollouts, horizons=self.horizons, psnr=self.psnr, drift=self.drift,
                    positions=positions)


def evaluate_rollouts(model: FramePredictor, store: FrameStore, split: str, *, options: FrameOptions | None = None,
                      num_frames: int = 64, num_rollouts: int = 16, batch_size: int = 64, num_kept: int = 2,
                      show_progress: bool = False) -> RolloutReport:
    """Carry real windows on under the recorded actions.

    Args:
        model: Any mode; it has the same one afterwards.
        store: With frames.
        split: Whose episodes.
        options: Solver steps, guidance, seed. Frame n of both ways begins with the same noise.
        num_frames: N of each rollout, at least 1.
        num_rollouts: At most so many, evenly spread.
        batch_size: Rollouts at once, and frames of teacher forcing.
        num_kept: Rollouts whose frames are kept.
        show_progress: Show progress bars.

    Raises:
        ConfigError: a number below 1, or the model is not made for the store.
        DataError: no episode is long enough, or what is made is not finite.
    """
    check_store(model, store)
    options, steps = options or FrameOptions(), model.num_history
    rows = window_rows(store, split, steps, num_frames, num_rollouts)                      # (n,)
    seeds = window_seeds(options.seed, rows)
    history, targets, actions = take_windows(store, rows, steps, num_frames)
    title = ('Rolling out', 'Predicting frame by frame') if show_progress else ('', '')
    free = predict_frames(model, history, actions, options=options, seeds=seeds, batch_size=batch_size,
                          show_progress=title[0])                                          # (n, N, H, W, 3)
    ahead = horizons(num_frames)
    forced = _forced(model, torch.cat([history, targets], dim=1), actions, ahead, seeds, options, batch_size, title[1])
    last = torch.cat([history[:, -1:], targets[:, :-1]], dim=1)
    mse = {'free': frame_mse(free, targets), 'copy_first': frame_mse(history[:, -1:].expand_as(targets), targets),
           'copy_last': frame_mse(last, targets)}                                          # (n, N) each
    shown = {name: each[:, np.array(ahead) - 1] for name, each in mse.items()}             # (n, horizons) each
    shown['teacher_forced'] = frame_mse(forced, targets[:, np.array(ahead) - 1])
    psnr = {name: psnr_of_mse(shown[name].mean(dim=0)).tolist() for name in WAYS}
    positions = _positions(store, rows, free, ahead, show_progress) if has_oracle(store) else None
    kept = slice(0, num_kept)
    return RolloutReport(len(rows), ahead, psnr, drift_horizon(mse['free'], mse['copy_first']), positions,
                         free[kept].numpy(), targets[kept].numpy(), actions[kept, steps - 1:].numpy())


def _forced(model: FramePredictor, real: Tensor, actions: Tensor, ahead: list[int], seeds: list[int],
            options: FrameOptions, batch_size: int, title: str) -> Tensor:
    """Frames (n, horizons, H, W, 3) at these horizons, from real ones (n, S + N, H, W, 3) up to the one before."""
    steps = model.num_history
    history = torch.stack([real[:, frame - 1:frame - 1 + steps] for frame in ahead], dim=1)
    told = torch.stack([actions[:, frame - 1:frame - 1 + steps] for frame in ahead], dim=1)
    noise = [seed + frame - 1 for seed in seeds for frame in ahead]  # That of the free rollout.
    made = predict_frames(model, history.flatten(0, 1), told.flatten(0, 1), options=options, seeds=noise,
                          batch_size=batch_size, show_progress=title)
    return made[:, 0].unflatten(0, (len(real), len(ahead)))


def _positions(store: FrameStore, rows: np.ndarray, frames: Tensor, ahead: list[int],
               show_progress: bool) -> list[Share]:
    """Of all rollouts, how many players are where they are in the recording, at each horizon."""
    places = rows[:, None] + np.array(ahead) - 1                                           # (n, horizons)
    states = oracle_states(store, places.ravel())
    shares = [Share(0, 0) for _ in ahead]
    numbered = track(list(enumerate(states)), 'Locating', disable=not show_progress, transient=True)
    for number, (_, state) in numbered:
        rollout, horizon = divmod(number, len(ahead))
        seen = locate(frames[rollout, ahead[horizon] - 1].numpy(), IMAGINED).player
        shares[horizon] += Share(int(seen is not None and seen[:2] == state.player[:2]), 1)
    return shares


@torch.no_grad()
def measure_speed(model: FramePredictor, history: Tensor, action: int, *, options: FrameOptions | None = None,
                  num_frames: int = 20, warm_up: int = 3) -> dict[str, float]:
    """Milliseconds that one frame of one game takes, medians: where playing is slow.

    Args:
        model: Any mode; it has the same one afterwards.
        history: (n, H, W, 3) uint8 real frames.
        action: That is held.
        options: Solver steps, guidance.
        num_frames: That are measured.
        warm_up: That are made before.

    Returns:
        ``condition`` (history, tokens, their keys and values), ``solver``, ``decode``, ``frame`` (all of it and what
        lies between), and ``fps``, frames per second.

    Raises:
        ConfigError: a number out of range.
    """
    if num_frames < 1 or warm_up < 0:
        raise ConfigError(f'measure_speed: found num_frames={num_frames}, warm_up={warm_up}; expected at least 1 and '
                          '0.')
    clock = _Clock(next(model.parameters()).device)
    rollout = FrameRollout(_Timed(model, clock), options)
    spent: dict[str, list[float]] = {part: [] for part in PARTS}
    with evaluating(model):
        actions = torch.full((1, len(history) - 1), action, device=clock.device)
        state = rollout.begin(rollout.encode(history[None].to(clock.device)), actions)
        for _ in range(warm_up + num_frames):
            clock.seconds.clear()
            with_frame = clock.timed('frame', lambda before: rollout.step(before, action))
            latents, state = with_frame(state)
            clock.timed('decode', rollout.decode)(latents)
            clock.seconds['frame'] += clock.seconds['decode']
            for part in PARTS:
                spent[part].append(clock.seconds[part])
    medians = {part: 1000 * float(np.median(each[warm_up:])) for part, each in spent.items()}
    return {**medians, 'fps': 1000 / medians['frame']}


class _Clock:
    """Adds up the seconds of named calls, waiting for a GPU before and after each."""

    def __init__(self, device: torch.device):
        self.device, self.seconds = device, {}

    def timed(self, part: str, function: Callable) -> Callable:
        def call(*args: object) -> object:
            self._wait()
            start = time.perf_counter()
            answer = function(*args)
            self._wait()
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
            return answer
        return call

    def _wait(self) -> None:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)


class _Timed:
    """A model as :class:`FrameRollout` uses it, whose parts are timed."""

    def __init__(self, model: FramePredictor, clock: _Clock):
        self.num_history, self.codec, self.backbone = model.num_history, model.codec, model.backbone
        self.condition, self.velocity = (clock.timed('condition', each) for each in (model.condition, model.velocity))
        self.head = SimpleNamespace(sample=clock.timed('solver', model.head.sample))
