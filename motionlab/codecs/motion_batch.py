"""The batch of the motion-generation family (PRIMAL): every key, its shape and unit, in one place.

B samples of T consecutive frames at the codec's frame rate, Y up: x left, y up, z forward at rest. Poses are those of
the 22 body joints of the SMPL family in its order: no hands, no face.
"""

from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.utils import DataError

__all__ = ['ACCELERATION', 'ACTION', 'BETAS', 'BODY_JOINTS', 'FK', 'GOAL', 'JOINTS', 'MARKERS', 'NUM_JOINTS',
           'POSE_BODY', 'POSE_ROTMATS', 'ROOT_ORIENT', 'ROOT_ROTMAT', 'SAMPLE_INDEX', 'SIMPLE', 'TERMS', 'TOTAL',
           'TRANS', 'VELOCITY', 'check_motion_batch']

NUM_JOINTS = 22

# Raw motion.
TRANS = 'trans'                # (B, T, 3) metres; the pelvis is at trans + its rest position of this shape
ROOT_ORIENT = 'root_orient'    # (B, T, 3) axis-angle, radians
POSE_BODY = 'pose_body'        # (B, T, 63) axis-angle, radians, 21 joints relative to their parents
BETAS = 'betas'                # (B, n) shape, the same for all frames
ACTION = 'action'              # (B,) int64, class of the motion; optional
GOAL = 'goal'                  # (B, 2) x and z, or (B, 3): pelvis to reach, metres, canonical frame; optional

# What a codec makes of it: n frames.
ROOT_ROTMAT = 'root_rotmat'    # (B, n, 3, 3)
POSE_ROTMATS = 'pose_rotmats'  # (B, n, 21, 3, 3)
JOINTS = 'joints'              # (B, n, 22, 3) metres, the joint block of the features
MARKERS = 'markers'            # (B, n, M, 3) metres, the marker block that may stand in for it
VELOCITY = 'velocity'          # (B, n, 22 or M, 3) forward difference of that block
ACCELERATION = 'acceleration'  # (B, n, 22 or M, 3) second forward difference of it
BODY_JOINTS = 'body_joints'    # (B, n, 22, 3) metres, joints of the body itself, by forward kinematics

# Terms of losses and evaluation, beside VELOCITY or ACCELERATION; per sample (B,) float32 in predictions.
SIMPLE = 'simple'              # features, mean squared
FK = 'fk'                      # joints of the body, metres squared (or metres, for the L1 norm)
TOTAL = 'total'                # the training objective
TERMS = {1: (SIMPLE, FK, VELOCITY, TOTAL), 2: (SIMPLE, FK, ACCELERATION, TOTAL)}  # by order

_FRAME_SHAPES = {TRANS: 3, ROOT_ORIENT: 3, POSE_BODY: 3 * (NUM_JOINTS - 1)}
_SAMPLE_SHAPES = {BETAS: ('n',), ACTION: (), GOAL: ('2 or 3',), SAMPLE_INDEX: ()}


def check_motion_batch(batch: dict[str, Tensor], source: str = 'batch') -> None:
    """Raise :class:`DataError` naming the first key that is unknown, missing or of a wrong shape."""
    for key in (*_FRAME_SHAPES, BETAS):
        if key not in batch:
            raise DataError(source, key, f'only {sorted(batch)}', 'this key too')
    size, frames = 'B', 'T'
    for key, value in batch.items():
        shape = tuple(value.shape)
        if key in _FRAME_SHAPES:
            expected = (size, frames, _FRAME_SHAPES[key])
            fits = len(shape) == 3 and shape[1] == (shape[1] if frames == 'T' else frames) and shape[2] == expected[2]
            frames = shape[1] if fits else frames
        elif key in _SAMPLE_SHAPES:
            expected = (size, *_SAMPLE_SHAPES[key])
            fits = len(shape) == len(expected) and (key != GOAL or shape[1] in (2, 3))
        else:
            raise DataError(source, key, 'an unknown key', f'one of {sorted((*_FRAME_SHAPES, *_SAMPLE_SHAPES))}')
        if not fits or shape[0] != (shape[0] if size == 'B' else size):
            raise DataError(source, key, f'shape {shape}', f"shape ({', '.join(map(str, expected))})")
        size = shape[0]
