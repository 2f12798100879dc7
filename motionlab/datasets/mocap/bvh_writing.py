"""Writing BVH, the inverse of :mod:`motionlab.datasets.mocap.bvh`."""

import numpy as np
from torch import Tensor

from motionlab.body.rotations import rotmat_to_euler
from motionlab.body.skeletons import SMPLX_22, Skeleton
from motionlab.utils import DataError

_ORDER = 'ZXY'  # Of rotation channels, as most programs write them.
_END_SHARE = 0.5  # Length of the bone drawn behind a last joint, of the bone before it.


def bvh_text(local_rotmats: Tensor, root_position: Tensor, rest_joints: Tensor, fps: float,
             skeleton: Skeleton = SMPLX_22, metres_per_unit: float = 0.01) -> str:
    """A motion as the content of a BVH file.

    The root's offset is zero, since some programs add it to the position channels and others do not. Angles go on
    beyond 180 degrees rather than jump, so that programs may interpolate them.

    Args:
        local_rotmats: (T, J, 3, 3) rotation of each joint in its parent's frame.
        root_position: (T, 3) metres, of the root joint itself.
        rest_joints: (J, 3) joints of the unposed body, metres.
        fps: Frames per second.
        skeleton: Names and parents of the J joints.
        metres_per_unit: Unit of lengths; the format has none. Most programs expect centimetres.

    Raises:
        DataError: no frame, shapes that do not fit, or values that are not finite.
    """
    frames, count = len(local_rotmats), len(skeleton)
    shapes = tuple(map(tuple, (local_rotmats.shape, root_position.shape, rest_joints.shape)))
    if shapes != ((frames, count, 3, 3), (frames, 3), (count, 3)) or not frames or not fps > 0:
        raise DataError('BVH', 'motion', f'shapes {shapes}, fps {fps}',
                        f'(T, {count}, 3, 3), (T, 3) and ({count}, 3), T at least 1, fps above 0')
    if not all(values.isfinite().all() for values in (local_rotmats, root_position, rest_joints)):
        raise DataError('BVH', 'motion', 'NaN or infinity', 'finite numbers')
    rest = rest_joints.double().cpu().numpy() / metres_per_unit
    lines, order = _hierarchy(rest, skeleton)
    angles = rotmat_to_euler(local_rotmats.double().cpu(), _ORDER).numpy()                 # (T, J, 3)
    angles = np.rad2deg(np.unwrap(angles, axis=0))[:, order].reshape(frames, -1)           # (T, 3 J)
    values = np.concatenate([root_position.double().cpu().numpy() / metres_per_unit, angles], axis=1)
    lines += ['MOTION', f'Frames: {frames}', f'Frame Time: {1 / fps:.8f}']
    lines += [' '.join(f'{value:.6f}' for value in row) for row in values]
    return '\n'.join(lines) + '\n'


def _hierarchy(rest: np.ndarray, skeleton: Skeleton) -> tuple[list[str], list[int]]:
    """Lines of the HIERARCHY section, and the joints in the order of their channels."""
    lines, order = ['HIERARCHY'], []
    rotations = ' '.join(f'{axis}rotation' for axis in _ORDER)

    def add(joint: int, depth: int) -> None:
        order.append(joint)
        indent, parent = '\t' * depth, skeleton.parents[joint]
        offset = np.zeros(3) if parent < 0 else rest[joint] - rest[parent]
        channels = f'6 Xposition Yposition Zposition {rotations}' if parent < 0 else f'3 {rotations}'
        lines.extend([f'{indent}{"ROOT" if parent < 0 else "JOINT"} {skeleton.joint_names[joint]}', f'{indent}{{',
                      f'{indent}\tOFFSET {_numbers(offset)}', f'{indent}\tCHANNELS {channels}'])
        children = [child for child, above in enumerate(skeleton.parents) if above == joint]
        for child in children:
            add(child, depth + 1)
        if not children:
            lines.extend([f'{indent}\tEnd Site', f'{indent}\t{{', f'{indent}\t\tOFFSET {_numbers(_END_SHARE * offset)}',
                          f'{indent}\t}}'])
        lines.append(f'{indent}}}')

    add(skeleton.parents.index(-1), 0)
    return lines, order


def _numbers(values: np.ndarray) -> str:
    return ' '.join(f'{value:.6f}' for value in values)
