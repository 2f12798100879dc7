"""Motion out of a motion model: seeds from files or made up, controls, and files and pictures of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imsave
from mmengine import Config
from torch import Tensor, nn

from motionlab.apis.motion_files import SUFFIXES, BodyMotion, cut_motion, read_motion
from motionlab.apis.motion_generation import generate_motion, use_body
from motionlab.apis.pretrained import model_for
from motionlab.body import BodyModel
from motionlab.codecs import motion_batch as keys
from motionlab.codecs.motion_blending import lift_to_ground
from motionlab.codecs.motion_source import check_motion_source
from motionlab.datasets.motion_store import open_motion_store
from motionlab.evaluation.functional.motion import score_motions
from motionlab.models import MotionDiffuser
from motionlab.models.rollout_options import MotionControl, RolloutOptions
from motionlab.registry import INFERENCERS
from motionlab.utils import ConfigError
from motionlab.utils.array_file import read_npz_arrays

FORMATS = (*SUFFIXES, '.png', '.gif', '.mp4')
RANDOM_POSE_RAD = 0.15  # Standard deviation of the joint angles of made-up poses.
_SCORED_FRAMES = 4


@dataclass(frozen=True)
class GeneratedMotions:
    """B motions of one length.

    Args:
        motions: Each with the joints of its body.
        network_joints: (B, T, 22, 3) metres, what the network says the joints are.
        scores: Metric -> (B,), of :func:`motionlab.evaluation.functional.motion.score_motions`.
        ways: (3,) metres each motion should have gone, or None; for pictures.
    """

    motions: list[BodyMotion]
    network_joints: np.ndarray
    scores: dict[str, np.ndarray]
    ways: list[np.ndarray | None]

    def __len__(self) -> int:
        return len(self.motions)

    def save(self, out_dir: str | Path, formats: Sequence[str] = FORMATS[:4], name: str = 'motion',
             up_axis: str = 'y') -> list[Path]:
        """Write ``<name>_<number>.npz`` and ``.bvh`` of each motion, and one ``<name>s.png``, ``.gif`` or ``.mp4``.

        Args:
            out_dir: Folder; it is made.
            formats: Some of :data:`FORMATS`.
            name: Beginning of the file names.
            up_axis: Of the ``.npz``, see :meth:`motionlab.apis.motion_files.BodyMotion.save`.

        Raises:
            ConfigError: another format.
        """
        if unknown := [each for each in formats if each not in FORMATS]:
            raise ConfigError(f'GeneratedMotions.save: found formats {unknown}, expected some of {FORMATS}.')
        folder = Path(out_dir)
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for number, motion in enumerate(self.motions):
            files += [motion.save(folder / f'{name}_{number}{suffix}', up_axis if suffix == '.npz' else 'y')
                      for suffix in SUFFIXES if suffix in formats]
        from motionlab.visualization.motion_drawing import write_motion_video
        joints, fps = [motion.joints for motion in self.motions], self.motions[0].fps
        captions = [str(number) for number in range(len(self))]
        for suffix in ('.png', '.gif', '.mp4'):
            path = folder / f'{name}s{suffix}'
            if suffix in formats:
                files.append(path)
                if suffix == '.png':
                    imsave(path, self.draw())
                else:
                    write_motion_video(path, joints, fps, captions, self.ways)
        return files

    def draw(self, num_frames: int = 8) -> np.ndarray:
        """Strips of stick figures, a row for each motion: (H, W, 3) uint8 RGB."""
        from motionlab.visualization.motion_drawing import draw_motion_strips
        captions = [str(number) for number in range(len(self))]
        return draw_motion_strips([motion.joints for motion in self.motions], self.motions[0].fps, num_frames, captions,
                                  self.ways)


@INFERENCERS.register_module()
class MotionGenerationInferencer:
    """What a motion model is asked for: seeds in, motions, files and pictures out.

    Args:
        model: Config file or config with a ``model`` entry, or a :class:`motionlab.models.MotionDiffuser`
            (``load_pretrained('primal', PATH)`` and ``init_model`` return one).
        checkpoint: Weights for a config. None only for a model that is already built.
        body: A body or its file; None for that of the config.
        device: Where to compute; None for where the model is (the CPU for a config).

    Raises:
        ConfigError: a config without checkpoint, a model with one, no motion model, or no body.
    """

    def __init__(self, model: 'str | Path | dict | Config | nn.Module', checkpoint: str | Path | None = None,
                 body: BodyModel | str | Path | dict | None = None, device: str | torch.device | None = None):
        self.model = model_for(type(self).__name__, model, checkpoint, device)
        if not isinstance(self.model, MotionDiffuser):
            raise ConfigError(f'MotionGenerationInferencer: found a {type(self.model).__name__}, expected a '
                              'MotionDiffuser.')
        use_body(self.model, body)

    @property
    def body(self) -> BodyModel:
        """The body of the answers."""
        return self.model.codec.body

    @property
    def fps(self) -> float:
        """Frames per second of seeds and answers."""
        return float(self.model.codec.fps)

    def seed_of_file(self, path: str | Path, frame: int = 0, source_up_axis: str = 'z') -> BodyMotion:
        """The frames from ``frame`` on, at the model's rate, of an AMASS-style ``.npz``, ours, or a ``.smpl``.

        A prepared store (``prepare_amass.py --selection motions``) is one too: ``frame`` is a row of it.

        Raises:
            DataError: as :func:`motionlab.apis.motion_files.read_motion`; too few frames from there on.
            ConfigError: a store of another frame rate, or of bodies of another family.
        """
        path, count = Path(path), self.model.codec.num_seed_frames
        if path.suffix == '.npz' and path.is_file() and 'starts' in read_npz_arrays(path, (), ('starts',)):
            store = open_motion_store(path)
            check_motion_source(self.model.codec, str(path), store.fps, store.bodies)
            sequence = int(np.searchsorted(store.starts, frame, side='right')) - 1
            sequence = min(max(sequence, 0), len(store.betas) - 1)
            rows = np.arange(store.starts[sequence], store.starts[sequence + 1])
            found = {key: torch.from_numpy(value) for key, value in store.take(rows).items()}
            motion = self._motion(found, torch.from_numpy(store.betas[sequence]))
            return cut_motion(motion, frame - int(store.starts[sequence]), count)
        return cut_motion(read_motion(path, self.body, self.fps, source_up_axis), frame, count)

    def random_seed(self, seed: int = 0, still_shape: bool = False) -> BodyMotion:
        """A body that stands still in a made-up pose: joint angles near zero, arms somewhere, feet on the ground.

        Args:
            seed: Of pose and shape.
            still_shape: Take the mean shape instead of betas ~ N(0, 1).
        """
        generator, count = torch.Generator().manual_seed(seed), self.model.codec.num_seed_frames
        pose = RANDOM_POSE_RAD * torch.randn(1, 63, generator=generator)
        betas = torch.randn(min(16, self.body.num_betas), generator=generator) * (not still_shape)
        zeros = torch.zeros(count, 3)
        motion = self._motion({keys.TRANS: zeros, keys.ROOT_ORIENT: zeros, keys.POSE_BODY: pose.expand(count, -1)},
                              betas)
        height = float(lift_to_ground(torch.from_numpy(motion.joints)[None])[0])
        up = np.array([0, height, 0], np.float32)
        return replace(motion, trans=motion.trans + up, joints=motion.joints + up)

    def generate(self, seeds: BodyMotion | Sequence[BodyMotion], num_frames: int, *, seed: int = 0,
                 controls: MotionControl | Sequence[MotionControl | None] | None = None,
                 options: RolloutOptions | None = None, draw: bool = True) -> dict:
        """Motions that begin with these seeds, all at once.

        Args:
            seeds: One or more, of :meth:`seed_of_file`, :meth:`random_seed` or of the caller's own; order + 1 frames.
            num_frames: N of each motion, at least 1.
            seed: Of the noise; motion i does not depend on the motions beside it.
            controls: As :func:`motionlab.apis.generate_motion` takes them, with one row for each seed or one for all.
            options: Of the rollout.
            draw: Whether to draw a strip.

        Returns:
            ``{'predictions': GeneratedMotions, 'visualization': (H, W, 3) uint8 RGB or None}``.

        Raises:
            ConfigError: no seed; a negative ``seed``; as :func:`motionlab.apis.generate_motion`.
            DataError: likewise; the answer is not finite.
        """
        seeds = [seeds] if isinstance(seeds, BodyMotion) else list(seeds)
        if not seeds or seed < 0:
            raise ConfigError(f'MotionGenerationInferencer: found {len(seeds) or "no"} seed poses and noise of '
                              f'seed={seed}, expected at least one, and 0 or more.')
        count = self.model.codec.num_seed_frames
        batch = {key: np.stack([getattr(motion, key)[:count] for motion in seeds])
                 for key in (keys.TRANS, keys.ROOT_ORIENT, keys.POSE_BODY)}
        width = max(len(motion.betas) for motion in seeds)
        betas = np.stack([np.pad(motion.betas, (0, width - len(motion.betas))) for motion in seeds])
        generators = [torch.Generator().manual_seed(int(np.random.SeedSequence((seed, row)).generate_state(1)[0]))
                      for row in range(len(seeds))]
        options = options or RolloutOptions()
        found = generate_motion(self.model, None, batch, betas, num_frames, generator=generators, controls=controls,
                                options=options)
        found = {key: value.cpu() for key, value in found.items()}
        motions = [self._motion({key: found[key][row] for key in batch}, found[keys.BETAS][row])
                   for row in range(len(seeds))]
        scores = {}
        if num_frames >= _SCORED_FRAMES:
            period = self.model.codec.window_frames(options.seq_len) - 1
            scores = score_motions(found[keys.BODY_JOINTS], self.fps, period)
        ways = [_way(controls, row, motion, num_frames / self.fps) for row, motion in enumerate(motions)]
        points = found.get(keys.JOINTS, found[keys.BODY_JOINTS]).numpy()
        answer = GeneratedMotions(motions, points, {name: value.numpy() for name, value in scores.items()}, ways)
        return {'predictions': answer, 'visualization': answer.draw() if draw else None}

    def _motion(self, frames: dict[str, Tensor], betas: Tensor) -> BodyMotion:
        return BodyMotion.of(self.body, frames[keys.ROOT_ORIENT], frames[keys.POSE_BODY], frames[keys.TRANS],
                             betas[:self.body.num_betas], self.fps)


def _way(controls: MotionControl | Sequence[MotionControl | None] | None, row: int, motion: BodyMotion,
         seconds: float) -> np.ndarray | None:
    """(3,) where one control for the whole motion sends its pelvis, from the start."""
    if not isinstance(controls, MotionControl):
        return None

    def mine(value: object, size: int) -> np.ndarray:
        each = torch.as_tensor(value, dtype=torch.float64).cpu().numpy().reshape(-1, size)  # (1 or B, size)
        return each[row if len(each) > 1 else 0]

    if controls.goal is not None:
        goal = mine(controls.goal, torch.as_tensor(controls.goal).shape[-1])
        goal = np.array([goal[0], 0, goal[1]]) if len(goal) == 2 else goal
        return (goal - motion.joints[0, 0]) * [1, 0, 1]
    if controls.direction is None:
        return None
    direction = mine(controls.direction, 3)
    return seconds * mine(controls.speed, 1)[0] * direction / np.linalg.norm(direction)
