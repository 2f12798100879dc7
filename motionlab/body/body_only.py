"""The fast path of pose priors and motion models: one constant shape, constant hands and face, posed root and body."""

import math

import torch
from torch import Tensor, nn

from motionlab.body.blend_skinning import skin
from motionlab.body.body_model import BodyModel, BodyOutput
from motionlab.body.joint_chain import chain_transforms
from motionlab.body.pose_arguments import NUM_BODY, local_rotations
from motionlab.body.posed_tree import PosedTree


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
        if math.prod(tree.batch) != 1:
            raise ValueError(f'body_only: found constants of batch shape {tree.batch}, expected those of one body')
        self.description, self.family, self.parents = body.description, body.family, body.parents
        body_columns = 9 * (NUM_BODY - 1)
        features = tree.pose_features()[body_columns:]  # (9 (K - 22), 1)
        base = body.shaped_vertices(tree.coefficients)
        base = base + body.posedirs[..., body_columns:body_columns + len(features)] @ features  # (V, 3, 1)
        owners = _owners(tree.local[..., 0], self.parents)
        turned = sorted({owner for owner in owners if owner >= NUM_BODY})
        columns = [*range(NUM_BODY), *turned]
        slots = torch.tensor([columns.index(owner) for owner in owners], device=base.device)
        for name, tensor in {
                'base': base, 'posedirs': body.posedirs[..., :body_columns].contiguous(),
                'weights': base.new_zeros(len(base), len(columns)).index_add_(1, slots, body.weights),
                'rest_joints': tree.joints(body.body_ancestors), 'ancestors': body.body_ancestors, 'faces': body.faces,
                'turned_transforms': tree.rest_to_posed()[turned], 'turned_ancestors': body.body_ancestors[turned],
        }.items():
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
            tree = self._pose(pose_body, root_orient, transl)
            return tree.finish(tree.joints(self.ancestors))

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
            transforms = tree.rest_to_posed()  # (22, 3, 4, 1 or B)
            if len(self.turned_ancestors):
                transforms = torch.cat([transforms, self._turned(transforms)])
            vertices = skin(self.base, self.posedirs, tree.pose_features(), self.weights, transforms)
            return BodyOutput(tree.finish(vertices), tree.finish(tree.joints(self.ancestors)))

    def _turned(self, transforms: Tensor) -> Tensor:
        """(n, 3, 4, 1 or B) transforms of the joints that constants turn, from those of the 22 posed ones."""
        carriers = transforms[self.turned_ancestors]  # (n, 3, 4, 1 or B)
        carried = (carriers[:, :, :3, None] * self.turned_transforms[:, None]).sum(dim=2)
        return torch.cat([carried[:, :, :3], carried[:, :, 3:] + carriers[:, :, 3:]], dim=2)

    def _pose(self, pose_body: Tensor | None, root_orient: Tensor | None, transl: Tensor | None) -> PosedTree:
        if transl is not None:
            transl = transl.to(self.base)
        local, batch = local_rotations(self.family, {'root_orient': root_orient, 'pose_body': pose_body},
                                       {} if transl is None else {'transl': transl.shape[:-1]}, self.base, None)
        world = chain_transforms(local, self.rest_joints[:NUM_BODY], self.parents[:NUM_BODY])
        return PosedTree(batch, None, local, self.rest_joints, world, transl)


def _owners(local: Tensor, parents: tuple[int, ...]) -> list[int]:
    """Whose transform each joint has: its own for body and turned joints, else its parent's owner."""
    at_rest = (local == torch.eye(3, dtype=local.dtype, device=local.device)).flatten(1).all(dim=1).tolist()
    owners: list[int] = []
    for joint, parent in enumerate(parents):
        rests = joint >= NUM_BODY and (joint >= len(at_rest) or at_rest[joint])
        owners.append(owners[parent] if rests else joint)
    return owners
