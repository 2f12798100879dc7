"""The original's sampler, written down from its description once more: one sequence, NumPy, float64, no code of ours.

It keeps what we leave behind: it snaps the body alone and before blending, leaves blended rotations as they are, guides
the mean acceleration of acceleration models, and adds impulses in feature units to the highest difference.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

STEPS = 50
IMPULSES = {'left_kick': ([4, 7], (0, 0, 0.5)), 'roll_forward': ([15, 16, 17, 18, 19], (0, -0.5, 0.5))}
Network = Callable[[np.ndarray, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Wanted:
    """What the original is asked for: ``direction`` (3,) m/s and weights guide it."""

    snap: bool = False
    reproject: bool = False
    inertialise: bool = True
    impulse: str | None = None
    direction: tuple[float, float, float] | None = None
    moving: float = 50.0
    facing: float = 25.0


class OriginalSampler:
    """Args: a body file, betas (n,), ``network(x (n, D), t, seed (D,)) -> x0 (n, D)``, and the form of the features."""

    def __init__(self, body_file: Path, betas: np.ndarray, network: Network, order: int, rotation: str, metric: bool):
        with np.load(body_file) as body:
            shaped = body['v_template'] + body['shapedirs'][..., :len(betas)].astype(float) @ betas
            self.rest = body['J_regressor'].astype(float) @ shaped                         # (55, 3)
            self.parents = body['kintree_table'][0].astype(np.int64)
        self.network, self.order, self.rotation = network, order, rotation
        self.size, self.unit = (6 if rotation == '6d' else 3), (30 if metric else 1)
        self.body, self.frames = 3 + 22 * self.size, 16 - order
        share = [math.cos((i / STEPS + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(STEPS + 1)]
        self.kept = np.cumprod([1 - min(1 - after / before, 0.999) for before, after in pairwise(share)])

    def run(self, seed: np.ndarray, noise: np.ndarray, wanted: Wanted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Seed (order + 1, 69) and noise (K, S, n, D) -> trans (F, 3), rotations (F, 22, 3, 3), joint block (F, 22, 3);
        F = K (n - 1).
        """
        bodies, points, window = [], [], None
        for drawn in noise:
            xs, turn, origin = self._first(seed, wanted) if window is None else self._next(window, wanted)
            features = self._denoise(xs, drawn, turn, wanted)
            if wanted.snap:
                world = self._joints(features)[:, :22] @ turn.T + origin
                features[:, 1] -= world[..., 1].min() - 0.01
            if wanted.inertialise:
                time = np.arange(self.frames)[:, None] / 30
                features = features - (features[0] - xs) * (1 + 10 * time) * np.exp(-10 * time)
            blocks = features[:, self.body:].reshape(self.frames, -1, 22, 3) @ turn.T
            blocks[:, 0] += origin
            window = self._moved(features[:, :self.body], turn, origin, out=True), blocks
            bodies.append(window[0][:-1])
            points.append(blocks[:-1, 0])
        bodies = np.concatenate(bodies)
        return bodies[:, :3], self._matrices(bodies), np.concatenate(points)

    def _first(self, seed: np.ndarray, wanted: Wanted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bodies = np.concatenate([seed[:, :3], self._numbers(_matrices(seed[:, 3:]))], axis=1)
        if wanted.snap:
            bodies[:, 1] -= self._joints(bodies[:1])[..., 1].min() - 0.01
        turn, origin = _frame(self._joints(bodies)[0])
        bodies = self._moved(bodies, turn, origin)
        blocks = [self._joints(bodies)[:, :22]]
        for _ in range(self.order):
            blocks.append(np.diff(blocks[-1], axis=0) * self.unit)
        blocks = [block[0].copy() for block in blocks]
        if wanted.impulse:
            joints, push = IMPULSES[wanted.impulse]
            blocks[-1][joints] += push
        return np.concatenate([bodies[0], *(block.ravel() for block in blocks)]), turn, origin

    def _next(self, window: tuple[np.ndarray, np.ndarray], wanted: Wanted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bodies, blocks = (part[-1:] for part in window)
        turn, origin = _frame(self._joints(bodies)[0])
        bodies, blocks = self._moved(bodies, turn, origin), blocks[0].copy()
        blocks[0] -= origin
        blocks = blocks @ turn
        if wanted.reproject:
            blocks[0] = self._joints(bodies)[0, :22]
        return np.concatenate([bodies[0], blocks.ravel()]), turn, origin

    def _denoise(self, xs: np.ndarray, noise: np.ndarray, turn: np.ndarray, wanted: Wanted) -> np.ndarray:
        stride, x = STEPS // len(noise), noise[0].copy()
        for index in range(len(noise)):
            t = (len(noise) - 1 - index) * stride
            now, before = self.kept[t], self.kept[t - stride] if t else 1.0
            alpha, clean = now / before, self.network(x, t, xs)
            x = (math.sqrt(before) * (1 - alpha) * clean + math.sqrt(alpha) * (1 - before) * x) / (1 - now)
            if t:
                push = 0 if wanted.direction is None else self._push(clean, turn, wanted)
                x += math.sqrt((1 - before) / (1 - now) * (1 - alpha)) * (push + noise[index + 1])
        return x

    def _push(self, clean: np.ndarray, turn: np.ndarray, wanted: Wanted) -> np.ndarray:
        goal, push = turn.T @ np.array(wanted.direction) * self.unit / 30, np.zeros_like(clean)
        mean = clean[:, -66:].reshape(-1, 22, 3).mean((0, 1))
        push[:, -66:] = np.tile(-2 * wanted.moving * (mean - goal), 22)
        hips = clean[-1, self.body:self.body + 9].reshape(3, 3)
        axis = (hips[1] - hips[2]) * [1, 0, 1]
        length = np.linalg.norm(axis)
        axis /= length
        error = 2 * (np.cross(axis, [0, 1, 0]) - goal / (np.linalg.norm(goal) + 1e-6))
        slope = (np.eye(3) - np.outer(axis, axis)) / length @ [error[2], 0, -error[0]]
        push[-1, self.body + 3:self.body + 9] = wanted.facing * np.concatenate([-slope, slope])
        return push

    def _numbers(self, matrices: np.ndarray) -> np.ndarray:
        """(..., K, 3, 3) -> (..., K * size)."""
        if self.rotation == '6d':
            return matrices[..., :2, :].reshape(*matrices.shape[:-3], -1)
        vectors = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
        return vectors.reshape(*matrices.shape[:-3], -1)

    def _matrices(self, bodies: np.ndarray) -> np.ndarray:
        """(F, body ...) -> (F, 22, 3, 3)."""
        numbers = bodies[:, 3:self.body]
        if self.rotation != '6d':
            return _matrices(numbers)
        first, second = np.split(numbers.reshape(len(numbers), 22, 6), 2, axis=-1)
        first = first / np.linalg.norm(first, axis=-1, keepdims=True)
        second = second - (first * second).sum(-1, keepdims=True) * first
        second = second / np.linalg.norm(second, axis=-1, keepdims=True)
        return np.stack([first, second, np.cross(first, second)], axis=-2)

    def _joints(self, bodies: np.ndarray) -> np.ndarray:
        """(F, body ...) -> (F, 55, 3)."""
        turns = np.tile(np.eye(3), (len(bodies), 55, 1, 1))
        turns[:, :22] = self._matrices(bodies)
        places = np.tile(self.rest, (len(bodies), 1, 1))
        for joint, parent in enumerate(self.parents[1:], start=1):
            places[:, joint] = places[:, parent] + turns[:, parent] @ (self.rest[joint] - self.rest[parent])
            turns[:, joint] = turns[:, parent] @ turns[:, joint]
        return places + bodies[:, None, :3]

    def _moved(self, bodies: np.ndarray, turn: np.ndarray, origin: np.ndarray, out: bool = False) -> np.ndarray:
        """Bodies of the world in a frame, or back out of it."""
        pelvis, root = self.rest[0], self._matrices(bodies)[:, :1]
        if out:
            root, trans = turn @ root, (bodies[:, :3] + pelvis) @ turn.T - pelvis + origin
        else:
            root, trans = turn.T @ root, (bodies[:, :3] + pelvis - origin) @ turn - pelvis
        return np.concatenate([trans, self._numbers(root), bodies[:, 3 + self.size:self.body]], axis=1)


def _matrices(vectors: np.ndarray) -> np.ndarray:
    """Axis-angle (F, 66) -> (F, 22, 3, 3)."""
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(len(vectors), 22, 3, 3)


def _frame(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (3, 3) as columns and origin (3,) of a pose (J, 3)."""
    left = (joints[1] - joints[2]) * [1, 0, 1]
    left /= np.linalg.norm(left)
    return np.stack([left, [0, 1, 0], np.cross(left, [0, 1, 0])], axis=1), joints[0]
