"""Grids of body poses: poses beside each other, and poses beside what a network made of them."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from motionlab.body.body_only import BodyOnly
from motionlab.utils import ConfigError
from motionlab.visualization.body_drawing import BLUE, ORANGE, draw_body_grid, draw_skeleton_grid

STYLES = ('mesh', 'skeleton')
_ROWS_AT_A_TIME = 32  # Of meshes in memory.


def draw_poses(body: BodyOnly, pose_body: Tensor, style: str = 'mesh', columns: int | None = None,
               size_px: int = 256, captions: Sequence[str] | None = None,
               colors: Sequence[tuple[int, int, int]] | None = None) -> np.ndarray:
    """Poses of one body, upright, row by row.

    Args:
        body: What :meth:`motionlab.body.BodyModel.body_only` gives.
        pose_body: (N, 63) or (N, 21, 3) axis-angle, radians.
        style: ``'mesh'`` or ``'skeleton'``.
        columns: Pictures in a row; None for about as many rows as columns.
        size_px: Side of one picture.
        captions: A line of text below each, or None.
        colors: RGB of each mesh, or None for all alike.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if style == 'skeleton':
        return draw_skeleton_grid(_posed(body, pose_body, style), columns, size_px, captions)
    if style != 'mesh':
        raise ConfigError(f'pictures: found style={style!r}, expected one of {STYLES}.')
    return draw_body_grid(_posed(body, pose_body, style), body.faces.cpu().numpy(), columns, size_px, captions, colors)


def draw_pose_pairs(body: BodyOnly, inputs: Tensor, outputs: Tensor, style: str = 'mesh', size_px: int = 256,
                    captions: Sequence[tuple[str, str]] | None = None) -> np.ndarray:
    """Poses (blue), each with what was made of it (orange) to its right; in a picture about as wide as high.

    Args:
        inputs: (N, 63) or (N, 21, 3) axis-angle, radians.
        outputs: Likewise.
        captions: For each pair, the text below both; None for 'input' and 'output'.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    number = len(inputs)
    poses = torch.stack([inputs.reshape(number, -1), outputs.reshape(number, -1)], dim=1).flatten(0, 1)  # (2 N, 63)
    lines = [text for pair in captions or [('input', 'output')] * number for text in pair]
    # Whole pairs in a row, and about as many rows as columns.
    columns = 2 * math.ceil((number / 2) ** 0.5)
    return draw_poses(body, poses, style, columns, size_px, lines, [BLUE, ORANGE] * number)


@torch.no_grad()
def _posed(body: BodyOnly, pose_body: Tensor, style: str) -> np.ndarray:
    """Vertices (N, V, 3) or joints (N, J, 3)."""
    poses = pose_body.detach().reshape(len(pose_body), -1).to(body.base)  # (N, 63)
    if style == 'skeleton':
        return body.joints(poses).cpu().numpy()
    return torch.cat([body.mesh(part).vertices.cpu() for part in poses.split(_ROWS_AT_A_TIME)]).numpy()
