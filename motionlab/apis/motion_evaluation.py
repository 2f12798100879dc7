"""PRIMAL's protocol: generate from many first poses, as the setting wants it, and score the motions.

Source: Zhang et al., PRIMAL, ICCV 2025 (arXiv 2503.17544): 50 steps, windows blended in, seeds reprojected, set on the
ground; first poses from consecutive pieces of recordings; random shapes; averages over sequences.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from motionlab.apis.motion_generation import generate_motion, use_body
from motionlab.body import BodyModel, forward_kinematics, rotvec_to_rotmat
from motionlab.body.skeletons import SMPLX_22
from motionlab.codecs import motion_batch as keys
from motionlab.codecs.motion_blending import lift_to_ground
from motionlab.codecs.motion_source import check_motion_source
from motionlab.datasets.amass.motions import NUM_BETAS
from motionlab.datasets.motion_store import MotionStore
from motionlab.evaluation.functional.motion import NOT_AVAILABLE, SETTLE_S, pose_distance, score_motions
from motionlab.models import MotionDiffuser
from motionlab.models.motion_guidance import IMPULSES
from motionlab.models.rollout_options import MotionControl, RolloutOptions
from motionlab.utils import ConfigError, DataError

PROTOCOL = RolloutOptions(num_steps=50, snap=True, inertialise=True, reproject=True)
DIRECTIONS_DEG = (0, 90, 180, 270)  # 0 is +x, 90 is +z.
SPEEDS_MPS = (1.0, 4.0)
DISTANCES_M = (1.0, 1.5)
FIRST_PIECES = {'HumanEva': 80, 'SFU': 160}  # Of these data sets only the first ones count, for realism.
SHAPES = ('random', 'recorded')
_SEED_FRAMES = 3  # Of every variant, so that all begin with the same poses.
_SHOWN = 3  # Motions kept for pictures where there is one condition only.


@dataclass(frozen=True)
class Condition:
    """What is asked for, the same for every first pose.

    Args:
        name: For tables.
        velocity: (3,) m/s in the world.
        way: (3,) metres from the first pelvis in the world.
        action: Class.
        impulse: One of :data:`motionlab.models.motion_guidance.IMPULSES`, in the first window.
    """

    name: str
    velocity: tuple[float, float, float] | None = None
    way: tuple[float, float, float] | None = None
    action: int | None = None
    impulse: str | None = None


@dataclass(frozen=True)
class Setting:
    """How much is generated: a first pose from every ``piece_frames`` frames of each recording, ``num_frames`` frames
    from each, of which the first ``scored_frames`` count.
    """

    piece_frames: int
    num_frames: int
    scored_frames: int


SETTINGS = {'realism': Setting(150, 300, 240), 'principled': Setting(400, 90, 90), 'control': Setting(400, 90, 90),
            'spatial': Setting(400, 60, 60), 'action': Setting(400, 90, 90)}


@dataclass(frozen=True)
class GenerationReport:
    """What came out.

    Args:
        setting: Name in :data:`SETTINGS`.
        rows: Condition -> metric -> mean over sequences; ``all`` is over everything, ``recorded`` are the recordings.
        num_motions: Generated motions.
        num_states: First poses.
        frames_per_second: Generated frames, those that are cut off included, per second of generating.
        pose_distance: NRDF of all poses, x 1000, or that it is not available.
        motions: Joints (T, 22, 3) of the first motions of each condition, for pictures.
        ways: What each of these was told, (3,) metres from its start, or None.
    """

    setting: str
    rows: dict[str, dict[str, float]]
    num_motions: int
    num_states: int
    frames_per_second: float
    pose_distance: float | str = NOT_AVAILABLE
    motions: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    ways: dict[str, np.ndarray | None] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict:
        """All numbers, for JSON."""
        return dict(setting=self.setting, rows=self.rows, num_motions=self.num_motions, num_states=self.num_states,
                    frames_per_second=self.frames_per_second, nrdf=self.pose_distance)


def first_poses(store: MotionStore, setting: str, num_seed_frames: int, limit: int | None = None) -> np.ndarray:
    """(P,) rows of a store where the pieces of its recordings begin, each with ``num_seed_frames`` frames at least.

    Args:
        limit: At most so many, evenly spread; None for all.

    Raises:
        DataError: no recording is long enough.
    """
    starts = [np.arange(first, last - num_seed_frames + 1, SETTINGS[setting].piece_frames)
              for first, last in zip(store.starts[:-1], store.starts[1:])]
    if setting == 'realism':
        taken: dict[str, int] = {}
        for number, name in enumerate(store.datasets):
            left = FIRST_PIECES.get(str(name), math.inf) - taken.get(str(name), 0)
            starts[number] = starts[number][:int(min(left, len(starts[number])))]
            taken[str(name)] = taken.get(str(name), 0) + len(starts[number])
    rows = np.concatenate(starts)
    if not len(rows):
        raise DataError(store.path, 'sequences', f'the longest of {store.lengths.max()} frames',
                        f'one of at least {num_seed_frames}')
    if limit is None or limit >= len(rows):
        return rows
    return rows[np.linspace(0, len(rows) - 1, max(limit, 1)).round().astype(int)]


def conditions(setting: str, model: MotionDiffuser) -> list[Condition]:
    """What a setting asks for.

    Raises:
        ConfigError: an unknown setting, or one that the model has no adapter for.
    """
    if setting not in SETTINGS:
        raise ConfigError(f'found setting={setting!r}, expected one of {tuple(SETTINGS)}.')
    adapter = model.backbone.adapter
    wanted = {'spatial': 'goal', 'action': 'action'}.get(setting)
    if wanted and (adapter is None or adapter.control != wanted):
        raise ConfigError(f'setting {setting}: found a model with '
                          f'{f"an adapter for {adapter.control}" if adapter else "no adapter"}, expected one with an '
                          f'adapter for {wanted}.')
    if setting == 'realism':
        return [Condition('free')]
    if setting == 'principled':
        return [Condition(name, impulse=name) for name in IMPULSES if name != 'jump']
    if setting == 'action':
        return [Condition(f'action {label}', action=label) for label in range(adapter.embedding.num_embeddings)]
    found = []
    for amount, degrees in product(SPEEDS_MPS if setting == 'control' else DISTANCES_M, DIRECTIONS_DEG):
        vector = amount * math.cos(math.radians(degrees)), 0.0, amount * math.sin(math.radians(degrees))
        name = f'{degrees} deg, {amount:g} {"m/s" if setting == "control" else "m"}'
        found.append(Condition(name, velocity=vector) if setting == 'control' else Condition(name, way=vector))
    return found


@torch.no_grad()
def evaluate_generation(model: MotionDiffuser, body: BodyModel | str | dict | None, store: MotionStore,
                        setting: str = 'realism', *, options: RolloutOptions = PROTOCOL, shapes: str = 'random',
                        seed: int = 0, limit: int | None = None, batch_size: int = 32,
                        pose_network: Callable[[Tensor], Tensor] | None = None,
                        show_progress: bool = False) -> GenerationReport:
    """Generate from the first poses of a store under every condition of a setting, and score.

    Noise and shapes belong to sequences: they depend neither on ``batch_size`` nor on ``limit``'s other poses. Beside
    the generated motions the recordings themselves are scored, with their own shapes.

    Args:
        model: A :class:`motionlab.models.MotionDiffuser`.
        body: As :func:`motionlab.apis.generate_motion` takes it.
        store: Of the model's frame rate.
        setting: One of :data:`SETTINGS`: ``realism`` (free), ``principled`` (impulses), ``control`` (directions and
            speeds), ``spatial`` and ``action`` (models with such an adapter).
        options: Of the rollout; default the protocol's.
        shapes: ``'random'``, betas ~ N(0, 1), or ``'recorded'``.
        seed: Of noise and shapes.
        limit: At most so many first poses, evenly spread; None for all.
        batch_size: Sequences at once.
        pose_network: NRDF, where there is one; see :func:`motionlab.evaluation.functional.motion.pose_distance`.
        show_progress: Show a progress bar.

    Raises:
        ConfigError: as :func:`conditions`; options out of range; a store of another frame rate or family of bodies.
        DataError: no recording is long enough; generated motion is not finite.
    """
    asked = conditions(setting, model)
    if shapes not in SHAPES or batch_size < 1 or (limit is not None and limit < 1) or seed < 0:
        raise ConfigError(f'evaluate_generation: found shapes={shapes!r}, batch_size={batch_size}, limit={limit}, '
                          f'seed={seed}; expected one of {SHAPES}, numbers of at least 1, and a seed of at least 0.')
    use_body(model, body)
    check_motion_source(model.codec, str(store.path), store.fps, store.bodies)
    rows = first_poses(store, setting, _SEED_FRAMES, limit)
    jobs = [(condition, number) for condition in asked for number in range(len(rows))]
    parts: dict[str, list[dict[str, Tensor]]] = {}
    motions, ways, poses, seconds = {}, {}, [], 0.0
    period = model.codec.window_frames(options.seq_len) - 1
    scored = SETTINGS[setting].scored_frames
    for batch in track(list(_batches(jobs, batch_size)), 'Generating', disable=not show_progress):
        condition, numbers = batch
        generated, spent = _generate(model, store, rows, condition, numbers, asked.index(condition), setting, options,
                                     shapes, seed)
        seconds += spent
        joints = generated[keys.BODY_JOINTS][:, :scored].cpu()                             # (b, T, 22, 3)
        velocity, way = (None if vector is None else torch.tensor(vector) for vector in (condition.velocity,
                                                                                         condition.way))
        parts.setdefault(condition.name, []).append(score_motions(
            joints, model.codec.fps, period, velocity=velocity, target=None if way is None else way[[0, 2]]))
        if pose_network is not None:
            poses.append(generated[keys.POSE_BODY][:, :scored].flatten(0, 1).cpu())
        shown = 0 if condition.name in motions else _SHOWN if len(asked) == 1 else 1
        for number, each in enumerate(joints[:shown]):
            name = f'{condition.name} {number + 1}' if number else condition.name
            motions[name], ways[name] = each.numpy(), _way(condition, scored / model.codec.fps)
    means = {name: _means(found) for name, found in parts.items()}
    everything = _means([part for found in parts.values() for part in found])
    recorded = _recorded(model, store, rows, setting, period, options)
    made = len(jobs) * SETTINGS[setting].num_frames
    table = {**(means if len(means) > 1 else {}), 'all': everything, **({'recorded': recorded} if recorded else {})}
    distance = pose_distance(torch.cat(poses), pose_network) if poses else NOT_AVAILABLE
    return GenerationReport(setting, table, len(jobs), len(rows), made / seconds, distance, motions, ways)


def _batches(jobs: Sequence[tuple[Condition, int]], batch_size: int) -> Iterator[tuple[Condition, list[int]]]:
    """First poses of one condition at a time."""
    for condition in dict.fromkeys(condition for condition, _ in jobs):
        numbers = [number for each, number in jobs if each is condition]
        for first in range(0, len(numbers), batch_size):
            yield condition, numbers[first:first + batch_size]


def _generate(model: MotionDiffuser, store: MotionStore, rows: np.ndarray, condition: Condition, numbers: list[int],
              place: int, setting: str, options: RolloutOptions, shapes: str, seed: int,
              ) -> tuple[dict[str, Tensor], float]:
    """Motions from these first poses, and the seconds they took."""
    first = rows[numbers]                                                                  # (b,)
    seeds = {key: torch.from_numpy(value) for key, value in store.take(
        first[:, None] + np.arange(model.codec.num_seed_frames)).items()}
    # The row says which pose it is: a smaller limit brings the same noise.
    entropy = [np.random.SeedSequence((seed, place, int(row))).generate_state(1)[0] for row in first]
    generators = [torch.Generator().manual_seed(int(each)) for each in entropy]
    betas = torch.stack([torch.randn(NUM_BETAS, generator=generator) for generator in generators])  # (b, 16)
    if shapes == 'recorded':
        betas = torch.from_numpy(store.betas[_sequences(store, first)])
    betas = betas[:, :model.codec.body.num_betas]
    control = None
    if condition.velocity is not None:
        speed = math.hypot(*condition.velocity)
        control = MotionControl(direction=condition.velocity, speed=speed)
    elif condition.way is not None:
        pelvis = seeds[keys.TRANS][:, 0] + model.codec.rest_joints(betas.to(next(model.parameters())))[:, 0].cpu()
        goal = pelvis + torch.tensor(condition.way)                                        # (b, 3)
        control = MotionControl(goal=goal if model.backbone.adapter.embedding.in_features == 3 else goal[:, [0, 2]])
    elif condition.action is not None:
        control = MotionControl(action=condition.action)
    elif condition.impulse is not None:
        control = [MotionControl(impulse=condition.impulse), None]
    start = time.perf_counter()
    found = generate_motion(model, None, seeds, betas, SETTINGS[setting].num_frames, generator=generators,
                            controls=control, options=options)
    found = {key: value.cpu() for key, value in found.items()}
    return found, time.perf_counter() - start


def _recorded(model: MotionDiffuser, store: MotionStore, rows: np.ndarray, setting: str, period: int,
              options: RolloutOptions) -> dict[str, float]:
    """Scores of the recordings from the same first poses on, up to as many frames; nothing where all are too short.

    They are set on the ground like generated windows: recordings do not agree on where it is.
    """
    ends = store.starts[_sequences(store, rows) + 1]                                       # (P,)
    scores = []
    for first, last in zip(rows, np.minimum(ends, rows + SETTINGS[setting].scored_frames)):
        if last - first <= SETTLE_S * store.fps:
            continue
        frames = {key: torch.from_numpy(value) for key, value in store.take(np.arange(first, last)).items()}
        betas = torch.from_numpy(store.betas[_sequences(store, first)])[:model.codec.body.num_betas]
        rotations = torch.cat([frames[keys.ROOT_ORIENT], frames[keys.POSE_BODY]], dim=1).unflatten(1, (-1, 3))
        rest = model.codec.rest_joints(betas.to(next(model.parameters()))).cpu()           # (22, 3)
        joints = forward_kinematics(rotvec_to_rotmat(rotations), rest, frames[keys.TRANS], SMPLX_22.parents)[0]
        joints = joints[None]                                                              # (1, T, 22, 3)
        if options.snap:
            joints = joints + lift_to_ground(joints, options.ground) * torch.tensor([0.0, 1.0, 0.0])
        scores.append(score_motions(joints, store.fps, period))
    found = _means(scores) if scores else {}
    # It has no seams.
    return {name: value for name, value in found.items() if name != 'seam_jerk'}


def _sequences(store: MotionStore, rows: np.ndarray) -> np.ndarray:
    return np.searchsorted(store.starts, rows, side='right') - 1


def _means(parts: list[dict[str, Tensor]]) -> dict[str, float]:
    names = list(dict.fromkeys(name for part in parts for name in part))
    return {name: torch.cat([part[name] for part in parts if name in part]).mean().item() for name in names}


def _way(condition: Condition, seconds: float) -> np.ndarray | None:
    """(3,) metres from the start that a motion should have gone."""
    if condition.velocity is not None:
        return seconds * np.array(condition.velocity)
    return None if condition.way is None else np.array(condition.way)
