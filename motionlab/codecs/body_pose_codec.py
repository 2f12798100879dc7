"""Axis-angle body poses in, 6D rotations out (VPoser)."""

from torch import Tensor

from motionlab.body.rotations import rot6d_columns_to_rotmat, rotmat_to_rotvec, rotvec_to_rotmat
from motionlab.codecs import pose_prior_batch as keys
from motionlab.codecs.base import Codec
from motionlab.registry import CODECS
from motionlab.utils import DataError


@CODECS.register_module()
class BodyPoseCodec(Codec):
    """Poses of the 21 body joints of the SMPL family, as VPoser sees them.

    The network reads axis-angle as it is (63 numbers, radians) and writes 6 numbers a joint, which reshape row-major
    to 3 x 2: the two columns span the first two columns of the rotation matrix (Gram-Schmidt; Zhou et al., "On the
    continuity of rotation representations in neural networks", CVPR 2019, interleaved as in VPoser). Nothing is
    scaled; without statistics there is nothing to fit.
    """

    in_channels = 3 * keys.NUM_BODY_JOINTS
    out_channels = 6 * keys.NUM_BODY_JOINTS

    def encode(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """``pose_body`` (B, 63) or (B, 21, 3), axis-angle in radians -> ``inputs`` (B, 63).

        Raises:
            DataError: another shape.
        """
        pose = batch[keys.POSE_BODY]
        flat = pose.flatten(1) if pose.ndim > 1 else pose                                  # (B, 63)
        if flat.ndim != 2 or flat.shape[1] != self.in_channels:
            raise DataError('batch', keys.POSE_BODY, f'shape {tuple(pose.shape)}', '(B, 63) or (B, 21, 3)')
        return {'inputs': flat}

    def to_rotmats(self, output: Tensor) -> Tensor:
        """Network output (B, 126) -> rotation matrices (B, 21, 3, 3)."""
        return rot6d_columns_to_rotmat(output.unflatten(-1, (keys.NUM_BODY_JOINTS, 6)))

    def target_rotmats(self, inputs: Tensor) -> Tensor:
        """Network input (B, 63) -> rotation matrices (B, 21, 3, 3)."""
        return rotvec_to_rotmat(inputs.unflatten(-1, (keys.NUM_BODY_JOINTS, 3)))

    def decode(self, output: Tensor) -> dict[str, Tensor]:
        """Network output (B, 126) -> ``pose_body`` (B, 21, 3) and ``pose_body_matrot`` (B, 21, 9).

        Axis-angle in radians, at most pi long (at pi the sign is arbitrary); matrices row-major.
        """
        rotmats = self.to_rotmats(output)                                                  # (B, 21, 3, 3)
        return {keys.POSE_BODY: rotmat_to_rotvec(rotmats), keys.POSE_BODY_MATROT: rotmats.flatten(-2)}
