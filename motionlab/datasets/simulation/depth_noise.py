"""Depth maps made wrong the way monocular metric depth is wrong.

Sizes. Depth Anything's metric models (Yang et al., CVPR 2024; numbers as in the README of its metric_depth folder; V2,
NeurIPS 2024, keeps the recipe) report, indoors, a mean absolute relative error of 0.056 on the data set they were tuned
on (NYUv2, delta1 0.984) and of 0.150 on one they never saw (iBims-1, delta1 0.714). We take the second for the error in
all and the first as the bound of what is left when scale and shift of a scene are known:

- scale: log-normal per clip, deviation 0.15 (mean absolute 0.12), and shift per clip, deviation 0.15 m;
- frame jitter: 1 % of scale, independent from frame to frame. Per-frame models flicker; Video Depth Anything
  (Chen et al., CVPR 2025) was made against it. The size is our estimate from its examples;
- smooth spatial error: 2.5 % with about five independent patches over a person's height, changing within a second.
  Together with the shift (3 % at 5 m) and the jitter that makes a mean absolute relative error of 0.033 within a clip,
  a little below the 0.056 of a whole room, as depth varies less over one person;
- bleeding: the network sees 518 px of a 1000 px image and its output is interpolated, so a silhouette edge is a ramp;
  Gaussian of 3 image pixels (1.5 network pixels).
"""

from dataclasses import dataclass

import numpy as np

from motionlab.datasets.simulation.temporal_noise import correlated_normal

_NODES = (6, 4)  # Independent patches over the height and width of the window around a person.
_MIN_DEPTH_M = 0.1


@dataclass(frozen=True)
class DepthNoiseConfig:
    """Sizes of the effects; 0 switches one off.

    Args:
        scale: Standard deviation of the clip's log scale.
        shift_m: Standard deviation of the clip's shift, metres.
        jitter: Standard deviation of each frame's relative scale.
        spatial: Standard deviation of the smooth relative error.
        spatial_seconds: Time constant of the smooth error.
        bleed_px: Blur across edges, standard deviation in image pixels.
    """

    scale: float = 0.15
    shift_m: float = 0.15
    jitter: float = 0.01
    spatial: float = 0.025
    spatial_seconds: float = 1.0
    bleed_px: float = 3.0


@dataclass(frozen=True)
class DepthNoise:
    """The errors of one clip in one camera, drawn once and applied piece by piece.

    Args:
        config: Sizes.
        scale: Factor of the clip.
        shift_m: Offset of the clip.
        jitter: (F,) factor of each frame.
        nodes: (F, 6, 4) smooth relative error at the patches.
    """

    config: DepthNoiseConfig
    scale: float
    shift_m: float
    jitter: np.ndarray
    nodes: np.ndarray

    @classmethod
    def sample(cls, rng: np.random.Generator, config: DepthNoiseConfig, num_frames: int, fps: float) -> 'DepthNoise':
        """Draw the errors of a clip; the draws do not depend on which effects are on."""
        scale = float(np.exp(config.scale * rng.standard_normal()))
        shift = float(config.shift_m * rng.standard_normal())
        jitter = 1 + config.jitter * rng.standard_normal(num_frames)
        nodes = correlated_normal(rng, (num_frames, *_NODES), config.spatial_seconds * fps)
        return cls(config, scale, shift, jitter.astype(np.float32), (config.spatial * nodes).astype(np.float32))

    def apply(self, depth_m: np.ndarray, frames: slice, stride: int) -> np.ndarray:
        """Noisy copies of exact maps.

        Args:
            depth_m: (n, h, w) exact maps of ``frames``, metres, each a window around the person.
            frames: Which frames of the clip they are.
            stride: Image pixels per map pixel.

        Returns:
            (n, h, w) float32 metres.
        """
        out = depth_m
        if self.config.bleed_px:
            out = _blur(out, self.config.bleed_px / stride)
        gain = (self.scale * self.jitter[frames])[:, None, None]
        if self.config.spatial:
            down, across = (_smooth_basis(size, nodes) for size, nodes in zip(depth_m.shape[1:], _NODES))
            gain = gain * (1 + down @ self.nodes[frames] @ across.T)
        return np.maximum(out * gain + np.float32(self.shift_m), np.float32(_MIN_DEPTH_M))


def _smooth_basis(size: int, nodes: int) -> np.ndarray:
    """(size, nodes) weights from patches to pixels; rows have norm 1, so unit noise stays unit noise."""
    position = np.linspace(0, nodes - 1, size)[:, None]
    weight = np.exp(-0.5 * ((position - np.arange(nodes)) / 0.6) ** 2)
    return (weight / np.linalg.norm(weight, axis=1, keepdims=True)).astype(np.float32)


def _blur(depth: np.ndarray, sigma: float) -> np.ndarray:
    """Separable three-tap blur with variance ``sigma`` squared per pass, in as many passes as that needs."""
    passes = max(1, int(np.ceil(sigma ** 2 / 0.6)))
    side = np.float32(sigma ** 2 / passes / 2)
    for _ in range(passes):
        for axis in (1, 2):
            out = (1 - 2 * side) * depth
            inner, first, last = ((slice(None),) * axis + (part,) for part in
                                  (slice(None), slice(None, -1), slice(1, None)))
            weighted = side * depth
            out[last] += weighted[first]
            out[first] += weighted[last]
            edge0, edge1 = (slice(None),) * axis + (slice(0, 1),), (slice(None),) * axis + (slice(-1, None),)
            out[edge0] += weighted[edge0]
            out[edge1] += weighted[edge1]
            depth = out[inner]
    return depth
