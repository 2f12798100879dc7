"""A posed joint tree and what skinning needs of it; the batch is the last axis throughout."""

from typing import NamedTuple

import torch
from torch import Tensor

from motionlab.body.joint_chain import batch_first


class PosedTree(NamedTuple):
    """A posed joint tree of J joints, of which the first K are turned by their own rotations (22 or J).

    ``batch`` is the shape of all arguments together and has B elements. A last axis of 1 stands for all of them.
    ``coefficients`` (n, 1 or B) are those of the first n blend shapes, or None; ``local`` (K, 3, 3, 1 or B) rotations
    in the parents' frames; ``rest`` (J, 3, 1 or B) joints before posing; ``world`` (K, 3, 4, 1 or B) rotations and
    positions after it, without ``transl`` (..., 3), which may be None. Metres.
    """

    batch: tuple[int, ...]
    coefficients: Tensor | None
    local: Tensor
    rest: Tensor
    world: Tensor
    transl: Tensor | None

    @property
    def num_turned(self) -> int:
        """K."""
        return len(self.world)

    def pose_features(self) -> Tensor:
        """(9 (K - 1), 1 or B) elements of R - I of all turned joints but the root."""
        identity = torch.eye(3, dtype=self.local.dtype, device=self.local.device)[..., None]
        return (self.local[1:] - identity).flatten(0, 2)

    def rest_to_posed(self) -> Tensor:
        """(K, 3, 4, 1 or B) transforms that take a point of the resting body along with each joint."""
        rotations, positions = self.world[:, :, :3], self.world[:, :, 3]
        shift = positions - turn(rotations, self.rest[:self.num_turned])  # (K, 3, 1 or B)
        return torch.cat([rotations, shift[:, :, None]], dim=2)

    def joints(self, ancestors: Tensor) -> Tensor:
        """All joints, before ``transl``: those that are not turned move rigidly with their nearest turned ancestor.

        Args:
            ancestors: (J,) that ancestor's index; unread for the turned joints themselves.

        Returns:
            (J, 3, 1 or B)
        """
        joints = self.world[:, :, 3]
        if len(joints) == len(self.rest):
            return joints
        carriers = ancestors[len(joints):]
        arms = self.rest[len(joints):] - self.rest[carriers]  # (J - K, 3, 1 or B)
        carrier = self.world[carriers]
        return torch.cat([joints, carrier[:, :, 3] + turn(carrier[:, :, :3], arms)])

    def finish(self, points: Tensor) -> Tensor:
        """Points (n, 3, 1 or B) of the posed body as (*batch, n, 3), with ``transl``."""
        count = points.shape[-1]
        points = batch_first(points, self.batch if count != 1 else (1,) * len(self.batch))  # (*batch or 1s, n, 3)
        if self.transl is not None:
            points = points + self.transl[..., None, :]
        return points.expand(*self.batch, *points.shape[-2:])


def turn(rotations: Tensor, points: Tensor) -> Tensor:
    """(n, 3, 3, B) rotations applied to (n, 3, B) points; either B may be 1."""
    return (rotations * points[:, None]).sum(dim=2)  # (n, 3, B)
