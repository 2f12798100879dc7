"""What a model of a game is worth: single frames, rollouts, control, speed. Copy-last stands beside every number."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from motionlab.apis.frame_control import Share, evaluate_control, has_oracle
from motionlab.apis.frame_prediction import check_store, predict_frames, take_windows, window_rows, window_seeds
from motionlab.apis.frame_rollouts import RolloutReport, evaluate_rollouts, measure_speed
from motionlab.apis.pose_prior import evaluating
from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.datasets.frame_store import FrameStore
from motionlab.evaluation.functional.perceptual import (
    FVD_FRAMES,
    NOT_GIVEN,
    frechet_distance,
    lpips_distance,
    video_features,
)
from motionlab.evaluation.metrics.frame_prediction_metric import FramePredictionMetric
from motionlab.models.frame_predictor import FramePredictor
from motionlab.models.frame_rollout import FrameOptions
from motionlab.utils import CheckpointError, ConfigError


@dataclass(frozen=True)
class FrameAmounts:
    """How much is evaluated of each split.

    Args:
        windows: Single frames.
        rollouts: Rollouts.
        frames: Of each rollout.
        states: From which every action is taken.

    Raises:
        ConfigError: a number below 1.
    """

    windows: int = 512
    rollouts: int = 16
    frames: int = 64
    states: int = 200

    def __post_init__(self):
        if min(self.windows, self.rollouts, self.frames, self.states) < 1:
            raise ConfigError(f'{self}: expected numbers of at least 1.')


@dataclass(frozen=True)
class FrameReport:
    """What came out on one split.

    Args:
        split: Name in the store.
        windows: Names and values of :class:`motionlab.evaluation.metrics.FramePredictionMetric`, and ``lpips`` and
            ``copy_last_lpips`` where there are weights.
        rollouts: See there.
        control: Of :func:`motionlab.apis.frame_control.evaluate_control`; None where there is no oracle.
        perceptual: LPIPS, and FVD of so many frames, or why there is none.
    """

    split: str
    windows: dict[str, float]
    rollouts: RolloutReport
    control: dict[str, Share] | None
    perceptual: dict[str, float | str]

    def as_dict(self) -> dict:
        """All numbers, for JSON."""
        control = None if self.control is None else {name: share.as_dict() for name, share in self.control.items()}
        return dict(windows=self.windows, rollouts=self.rollouts.as_dict(), control=control, perceptual=self.perceptual)


class PerceptualNetworks:
    """Networks that LPIPS and FVD are measured with, as TorchScript.

    Args:
        lpips: File of a network called with two batches (n, 3, H, W) in [-1, 1], e.g. ``torch.jit.trace`` of
            ``lpips.LPIPS``; None for none.
        fvd: File of the I3D of StyleGAN-V (``i3d_torchscript.pt``); None for none.
        device: Where they compute.

    Raises:
        CheckpointError: no such file, or no TorchScript.
    """

    def __init__(self, lpips: str | Path | None = None, fvd: str | Path | None = None,
                 device: str | torch.device = 'cpu'):
        self.lpips, self.fvd = (None if path is None else _load_script(Path(path), device) for path in (lpips, fvd))
        self.device = device

    @torch.no_grad()
    def frame_distances(self, frames: Tensor, target: Tensor) -> dict[str, float | str]:
        """``lpips``: mean over frames (n, H, W, 3), or why there is none."""
        if self.lpips is None:
            return {'lpips': NOT_GIVEN.format(option='--lpips FILE')}
        found = [lpips_distance(x.to(self.device), y.to(self.device), self.lpips).cpu()
                 for x, y in zip(frames.split(64), target.split(64))]
        return {'lpips': torch.cat(found).mean().item()}

    @torch.no_grad()
    def video_distances(self, frames: Tensor, target: Tensor) -> dict[str, float | str]:
        """``fvd_16``, ``fvd_32`` of rollouts (n, N, H, W, 3), or why there is none."""
        if self.fvd is None:
            return {'fvd': NOT_GIVEN.format(option='--fvd FILE')}
        found: dict[str, float | str] = {}
        for length in FVD_FRAMES:
            if frames.shape[1] < length or len(frames) < 2:
                found[f'fvd_{length}'] = f'not measured: needs 2 rollouts of {length} frames'
                continue
            features = [torch.cat([video_features(part[:, :length].to(self.device), self.fvd).cpu()
                                   for part in each.split(8)]) for each in (frames, target)]
            found[f'fvd_{length}'] = frechet_distance(*features)
        return found


def evaluate_frames(model: FramePredictor, store: FrameStore, splits: Sequence[str], *,
                    options: FrameOptions | None = None, amounts: FrameAmounts | None = None,
                    networks: PerceptualNetworks | None = None, batch_size: int = 64,
                    show_progress: bool = False) -> dict[str, FrameReport]:
    """Evaluate a model on splits of a recorded game; the same call gives the same numbers.

    Args:
        model: Any mode; it has the same one afterwards.
        store: With frames.
        splits: Names, e.g. ``test_seen`` and ``test_unseen``, whose mazes were not trained on.
        options: Solver steps, guidance, seed.
        amounts: How much of each split.
        networks: For LPIPS and FVD.
        batch_size: Frames at once.
        show_progress: Show progress bars.

    Raises:
        ConfigError: the model is not made for the store.
        DataError: a split that is not there or too short, or what is made is not finite.
    """
    check_store(model, store)
    amounts, networks, reports = amounts or FrameAmounts(), networks or PerceptualNetworks(), {}
    shared = dict(options=options, batch_size=batch_size, show_progress=show_progress)
    for split in splits:
        windows, perceptual = evaluate_windows(model, store, split, num_windows=amounts.windows, networks=networks,
                                               **shared)
        rollouts = evaluate_rollouts(model, store, split, num_frames=amounts.frames, num_rollouts=amounts.rollouts,
                                     num_kept=amounts.rollouts, **shared)
        perceptual |= networks.video_distances(torch.from_numpy(rollouts.frames), torch.from_numpy(rollouts.targets))
        control = evaluate_control(model, store, split, num_states=amounts.states, **shared) if has_oracle(store) \
            else None
        reports[split] = FrameReport(split, windows, rollouts, control, perceptual)
    return reports


@torch.no_grad()
def evaluate_windows(model: FramePredictor, store: FrameStore, split: str, *, options: FrameOptions | None = None,
                     num_windows: int = 512, networks: PerceptualNetworks | None = None, batch_size: int = 64,
                     show_progress: bool = False) -> tuple[dict[str, float], dict[str, float | str]]:
    """Single frames from real histories, against copy-last and against what the codec keeps of the target.

    Args:
        num_windows: At most so many, evenly spread over the split.

    Returns:
        The numbers of :class:`motionlab.evaluation.metrics.FramePredictionMetric`, and LPIPS or why there is none.
        Other arguments and errors are those of :func:`evaluate_frames`.
    """
    check_store(model, store)
    options, steps = options or FrameOptions(), model.num_history
    rows = window_rows(store, split, steps, limit=num_windows)
    history, targets, actions = take_windows(store, rows, steps, 1)
    frames = predict_frames(model, history, actions, options=options, seeds=window_seeds(options.seed, rows),
                            batch_size=batch_size, show_progress='Predicting' if show_progress else '')
    samples = {SAMPLE_INDEX: torch.arange(len(rows)), 'frames': frames[:, 0], 'target': targets[:, 0],
               'last': history[:, -1], 'reconstruction': _through_codec(model, targets[:, 0], batch_size)}
    metric = FramePredictionMetric()
    for first in range(0, len(rows), batch_size):
        metric.process({}, {key: value[first:first + batch_size] for key, value in samples.items()})
    networks = networks or PerceptualNetworks()
    perceptual = networks.frame_distances(samples['frames'], samples['target'])
    if networks.lpips is not None:
        perceptual['copy_last_lpips'] = networks.frame_distances(samples['last'], samples['target'])['lpips']
    return metric.evaluate(len(rows)), perceptual


def _through_codec(model: FramePredictor, frames: Tensor, batch_size: int) -> Tensor:
    device, codec = next(model.parameters()).device, model.codec
    with evaluating(model):
        return torch.cat([codec.to_uint8(codec.decode_frames(codec.encode_frames(part.to(device)))).cpu()
                          for part in frames.split(batch_size)])


def speed_of(model: FramePredictor, store: FrameStore, options: FrameOptions | None = None) -> dict[str, float]:
    """:func:`motionlab.apis.frame_rollouts.measure_speed` from the first frames of a store."""
    history = torch.from_numpy(np.array(store.frames[:model.num_history]))
    return measure_speed(model, history, 0, options=options)


def _load_script(path: Path, device: str | torch.device) -> torch.jit.ScriptModule:
    if not path.is_file():
        raise CheckpointError(f'{path}: no such file, expected a network as TorchScript.')
    try:
        return torch.jit.load(str(path), map_location=device).eval()
    except RuntimeError as error:
        raise CheckpointError(f'{path}: is no TorchScript: {str(error).splitlines()[0]}') from None
