"""The batch of the pose-prior family (VPoser): every key, its shape and unit, in one place.

B samples. Rotations are relative to the parent joint. ``pose_body`` holds the 21 joints of the SMPL family after the
pelvis, in its order: no root, hands or face.
"""

from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.utils import DataError

__all__ = ['NUM_BODY_JOINTS', 'POSE_BODY', 'POSE_BODY_MATROT', 'SAMPLE_INDEX', 'TERMS', 'check_pose_prior_batch']

NUM_BODY_JOINTS = 21

POSE_BODY = 'pose_body'                # (B, 63) float32, axis-angle, radians; a decoded pose is (B, 21, 3)
POSE_BODY_MATROT = 'pose_body_matrot'  # (B, 21, 9) float32, row-major rotation matrices of a decoded pose

# Terms of losses and evaluation; per sample (B,) float32 in predictions.
KL = 'kl'                              # nats, summed over the latent dimensions
V2V_L1 = 'v2v_l1'                      # metres, mean over vertices and coordinates, sampled latent
JTR_L1 = 'jtr_l1'                      # metres, mean over joints and coordinates, sampled latent
GEO = 'geo'                            # radians, mean over the 21 joints, sampled latent
V2V_SAMPLED = 'v2v_sampled'            # metres, mean Euclidean distance of vertices, sampled latent
V2V_MEAN = 'v2v_mean'                  # the same, posterior mean
V2V_L1_MM = 'v2v_l1_mm'                # V2V_L1 in millimetres
TOTAL = 'total'                        # the training objective
TERMS = (KL, V2V_L1, JTR_L1, GEO, V2V_SAMPLED, V2V_MEAN, V2V_L1_MM, TOTAL)

_SHAPES = {POSE_BODY: (3 * NUM_BODY_JOINTS,), SAMPLE_INDEX: ()}


def check_pose_prior_batch(batch: dict[str, Tensor], source: str = 'batch') -> None:
    """Raise :class:`DataError` naming the first key that is unknown, missing or of a wrong shape."""
    for key, value in batch.items():
        if key not in _SHAPES:
            raise DataError(source, key, 'an unknown key', f'one of {sorted(_SHAPES)}')
        if tuple(value.shape[1:]) != _SHAPES[key] or value.ndim == 0:
            raise DataError(source, key, f'shape {tuple(value.shape)}', f"shape ('B', *{_SHAPES[key]})")
    if POSE_BODY not in batch:
        raise DataError(source, POSE_BODY, f'only {sorted(batch)}', 'this key too')
