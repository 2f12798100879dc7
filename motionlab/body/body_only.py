"""The fast path of pose priors and motion models: one constant shape, constant hands and face, posed root and body."""

import math

import torch
from torch import Tensor, nn

from motionlab.body.blend_skinning import skin
from motionlab.body.body_model import BodyModel, BodyOutput
from motionlab.body.kinematics import forward_kinematics
from motionlab.body.pose_arguments import common_batch, local_matrices, pose_matrices
from motionlab.body.posed_tree import (
    NUM_BODY,
    PosedTree,
    carried_joints,
    pose_features,
    rest_to_posed,
    transforms_batch_last,
    with_batch,
)


class BodyOnly(nn.Module):
    """Vertices and joints of one body, equal to those of :class:`BodyModel` with the same constants, but faster.

    Shaped vertices, joints and all that constant hands and face add are computed once. A joint at its rest rotation has
    the transform of its parent, so its skinning weights are added to the parent's. A joint turned by a constant moves
    with its nearest body joint through a constant transform; its pose blend shapes are part of the shaped vertices.

    Built by :meth:`BodyModel.body_only`; buffers stay out of every checkpoint.

    Args:
        body: The body.
        tree: The body with its constants and nothing else posed, of one element.
    """

    def __init__(self, body: BodyModel, tree: PosedTree):
        super().__init__()
        tree = _single(tree)
        self.description, self.family, self.parents = body.description, body.family, body.parents
        count = tree.joints.shape[-2]
        features = pose_features(tree.local, ())[9 * (NUM_BODY - 1):]  # (9 (K - 22), 1); zero-pose joints: empty
        base = body.shaped_vertices(tree.coefficients, ())
        base = base + body.posedirs[..., 9 * (NUM_BODY - 1):9 * (count - 1)] @ features  # (V, 3, 1)
        owners = _owners(tree.local, self.parents)
        turned = sorted({owner for owner in owners if owner >= NUM_BODY})
        columns = [*range(NUM_BODY), *turned]
        slots = torch.tensor([columns.index(owner) for owner in owners], device=base.device)
        weights = base.new_zeros(len(base), len(columns)).index_add_(1, slots, body.weights)
        constant = rest_to_posed(tree.rest[:count], tree.joints, tree.rotations)[turned]  # (n, 3, 4)
        for name, tensor in {
                'base': base, 'posedirs': body.posedirs[..., :9 * (NUM_BODY - 1)].contiguous(), 'weights': weights,
                'rest_joints': carried_joints(tree.joints, tree.rotations, tree.rest, body.body_ancestors),
                'ancestors': body.body_ancestors, 'faces': body.faces, 'turned_transforms': constant,
                'turned_ancestors': body.body_ancestors[turned]}.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def num_joints(self) -> int:
        return len(self.parents)

    @property
    def num_vertices(self) -> int:
        return len(self.base)

    def extra_repr(self) -> str:
        return str(self.description)

    def joints(self, pose_body: Tensor | None = None, root_orient: Tensor | None = None,
               transl: Tensor | None = None) -> Tensor:
        """Joints (..., J, 3) in metres; arguments as in :meth:`mesh`."""
        with torch.autocast(self.base.device.type, enabled=False):
            return self._all_joints(self._pose(pose_body, root_orient, transl))

    def mesh(self, pose_body: Tensor | None = None, root_orient: Tensor | None = None,
             transl: Tensor | None = None) -> BodyOutput:
        """Vertices (..., V, 3) and joints (..., J, 3) in metres.

        Args:
            pose_body: 21 joints: axis-angle (..., 63) or (..., 21, 3), or matrices (..., 21, 3, 3); None for zero.
            root_orient: (..., 3) or (..., 3, 3), turning about the root's rest position; None for zero.
            transl: (..., 3) metres; None for zero.

        Raises:
            ValueError: A shape fits no form, or batch axes do not broadcast.
        """
        with torch.autocast(self.base.device.type, enabled=False):
            tree = self._pose(pose_body, root_orient, transl)
            transforms = rest_to_posed(tree.rest[:NUM_BODY], tree.joints, tree.rotations)  # (..., 22, 3, 4)
            if len(self.turned_ancestors):
                carriers = transforms[..., self.turned_ancestors, :, :]
                carried = carriers[..., :3] @ self.turned_transforms  # (..., n, 3, 4)
                carried = torch.cat([carried[..., :3], carried[..., 3:] + carriers[..., 3:]], dim=-1)
                transforms = torch.cat([transforms, carried], dim=-3)
            vertices = skin(self.base, self.posedirs, pose_features(tree.local, tree.batch), self.weights,
                            transforms_batch_last(transforms, tree.batch))
            return BodyOutput(with_batch(vertices, tree.batch, tree.transl), self._all_joints(tree))

    def _pose(self, pose_body: Tensor | None, root_orient: Tensor | None, transl: Tensor | None) -> PosedTree:
        cast = {'pose_body': pose_body, 'root_orient': root_orient, 'transl': transl}
        cast = {name: None if value is None else value.to(self.base) for name, value in cast.items()}
        transl = cast.pop('transl')
        others = () if transl is None else transl.shape[:-1]
        matrices = pose_matrices(self.family, cast, None if transl is None else len(others))
        local = local_matrices(self.family, matrices, NUM_BODY, self.base)  # (..., 22, 3, 3)
        joints, rotations = forward_kinematics(local, self.rest_joints[:NUM_BODY], None, self.parents[:NUM_BODY])
        batch = common_batch(local.shape[:-3], others)
        return PosedTree(batch, None, self.rest_joints, joints, local, rotations, transl)

    def _all_joints(self, tree: PosedTree) -> Tensor:
        joints = carried_joints(tree.joints, tree.rotations, tree.rest, self.ancestors)  # (..., J, 3)
        if tree.transl is not None:
            joints = joints + tree.transl[..., None, :]
        return joints.expand(*tree.batch, *joints.shape[-2:])


def _single(tree: PosedTree) -> PosedTree:
    """The same tree without batch axes."""
    if math.prod(tree.batch) != 1:
        raise ValueError(f'body_only: found constants of batch shape {tree.batch}, expected those of one body')
    coefficients = None if tree.coefficients is None else tree.coefficients.flatten()
    return tree._replace(batch=(), coefficients=coefficients, rest=tree.rest.reshape(-1, 3),
                         joints=tree.joints.reshape(-1, 3), local=tree.local.reshape(-1, 3, 3),
                         rotations=tree.rotations.reshape(-1, 3, 3))


def _owners(local: Tensor, parents: tuple[int, ...]) -> list[int]:
    """Whose transform each joint has: its own for body and turned joints, else its parent's owner."""
    at_rest = (local == torch.eye(3, dtype=local.dtype, device=local.device)).flatten(1).all(dim=1).tolist()
    owners: list[int] = []
    for joint, parent in enumerate(parents):
        rests = joint >= NUM_BODY and (joint >= len(at_rest) or at_rest[joint])
        owners.append(owners[parent] if rests else joint)
    return owners
