"""Depth map + detections of a frame -> the depth arrays of a lifting annotation."""

import zlib
from collections.abc import Sequence

import numpy as np

from motionlab.body.skeletons import H36M_17
from motionlab.datasets.casp_descriptor import (
    CaspDescriptor,
    casp_descriptor,
    casp_radius,
    descriptor_columns,
    torso_length,
)
from motionlab.datasets.depth_statistics import confidence_radius, depth_descriptor, depth_statistics

DEPTH_RULES = ('paper', 'casp')
_K = len(H36M_17)
# Tails of the arrays that measure_joints returns, all float32; casp_descriptors with the rule 'casp' only.
JOINT_DEPTH_SHAPES = {
    'predicted_da_depth': (_K,), 'predicted_depth_min': (_K,), 'predicted_depth_max': (_K,),
    'predicted_depth_min_px': (_K, 2), 'predicted_depth_max_px': (_K, 2), 'summary_casp_descriptor_10d': (_K, 10),
    'casp_descriptors': (_K, 19)}


def joint_depth_keys(rule: str) -> tuple[str, ...]:
    """Names of the arrays that a rule gives."""
    if rule not in DEPTH_RULES:
        raise ValueError(f'depth rule {rule!r}: expected one of {DEPTH_RULES}')
    return tuple(JOINT_DEPTH_SHAPES)[:None if rule == 'casp' else -1]


def measure_joints(depth_m: np.ndarray, keypoints_px: np.ndarray, confidence: np.ndarray, valid: np.ndarray,
                   names: Sequence[str], rule: str = 'paper', seed: int = 0) -> dict[str, np.ndarray]:
    """Depth at the joints of F frames.

    ``predicted_da_depth`` and the ranges always follow the paper's rule (median, minimum and maximum of the disk, and
    where these lie); ``rule`` decides what the descriptors hold, so that a file made with ``'casp'`` serves both.

    Args:
        depth_m: (F, H, W) depth maps in metres, at the resolution of the images.
        keypoints_px: (F, 17, 2) joints in image pixels.
        confidence: (F, 17).
        valid: (F, 17) bool, joints with a detection; the others get zeros.
        names: F image names; with ``seed`` they decide the random draws of a frame, whatever is processed beside it.
        rule: ``'paper'`` or ``'casp'``.
        seed: Of the random draws; unused by ``'paper'``.

    Returns:
        Arrays of :data:`JOINT_DEPTH_SHAPES`, each with F rows; 0 where unknown.
    """
    keys = joint_depth_keys(rule)
    points = np.where(valid[..., None], keypoints_px, np.nan).astype(np.float64)  # (F, 17, 2)
    shown = np.where(valid[..., None], keypoints_px, 0)
    score = np.where(valid, confidence, 0)
    paper = depth_statistics(depth_m, points, confidence_radius(score))
    arrays = {'predicted_da_depth': paper.median, 'predicted_depth_min': paper.minimum,
              'predicted_depth_max': paper.maximum, 'predicted_depth_min_px': paper.minimum_px,
              'predicted_depth_max_px': paper.maximum_px}
    if rule == 'paper':
        described = paper
    else:
        torso = np.nan_to_num(torso_length(points), nan=0.0)  # (F,)
        radius = casp_radius(score, torso)
        parts = [casp_descriptor(depth_m[f:f + 1], points[f:f + 1], radius[f:f + 1],
                                 np.random.default_rng([seed, zlib.crc32(name.encode())]))
                 for f, name in enumerate(names)]
        described = CaspDescriptor.concatenate(parts)
        arrays['casp_descriptors'] = descriptor_columns(described, torso)
    summary = depth_descriptor(shown, score, described)
    summary[~valid] = 0
    arrays['summary_casp_descriptor_10d'] = summary
    return {key: arrays[key] for key in keys}
