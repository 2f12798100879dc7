"""SMPL-family bodies: joints without a mesh, vertices, selected vertices, all exact and differentiable.

Sources: Loper et al. 2015 (SMPL), Romero et al. 2017 (SMPL-H), Pavlakos et al. 2019 (SMPL-X). The shortcuts taken are
exact: joints are regressed from shape once at load, zero-pose joints share their ancestor's transform (their skinning
weights merge and their pose blend columns drop out), and the joint tree is walked level by level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from motionlab.body.blend_skinning import skin
from motionlab.body.body_file import BodyDescription
from motionlab.body.joint_chain import batch_last, chain_transforms, common_elements
from motionlab.body.pose_arguments import NUM_BODY, local_rotations
from motionlab.body.posed_tree import PosedTree
from motionlab.body.skeletons import SMPL_24, SMPLH_52, SMPLX_55, Skeleton

_TENSORS = ('v_template', 'blend_shapes', 'posedirs', 'weights', 'joint_template', 'joint_shapes', 'faces', 'hand_mean')

if TYPE_CHECKING:  # They are built from a BodyModel, and it builds them.
    from motionlab.body.body_only import BodyOnly
    from motionlab.body.markers import Markers


class BodyOutput(NamedTuple):
    """Vertices (..., V, 3) and joints (..., J, 3), metres."""

    vertices: Tensor
    joints: Tensor


@dataclass(frozen=True)
class BodyColumns:
    """How many columns of ``blend_shapes`` are betas, expressions and DMPLs, in this order."""

    num_betas: int
    num_expressions: int
    num_dmpls: int


class BodyModel(nn.Module):
    """A frozen body. Build it with :func:`load_body`; its buffers stay out of every checkpoint.

    Shapes are (..., n) with batch axes that broadcast from 1 (or from absent); vertices come with the batch innermost
    in memory, so use ``reshape`` rather than ``view`` on them. Everything is computed in the dtype of the body
    (arguments are cast to it), also under autocast. Rotations are axis-angle in radians (..., 3 K) or (..., K, 3), or
    matrices (..., K, 3, 3); ``root_orient`` and ``pose_jaw`` are (..., 3) or (..., 3, 3). What is left out is zero.

    Args:
        description: What the body file is.
        parents: J parent indices, -1 for the root.
        columns: Meaning of the columns of ``blend_shapes``.
        tensors: ``v_template`` (V, 3), ``blend_shapes`` (V, 3, n), ``posedirs`` (V, 3, 9 (J - 1)), ``weights`` (V, J),
            ``joint_template`` (J, 3), ``joint_shapes`` (J, 3, n), ``faces`` (F, 3); ``hand_mean`` (90,) if it is to be
            added to the hands given as axis-angle, else None.
    """

    def __init__(self, description: BodyDescription, parents: tuple[int, ...], columns: BodyColumns,
                 tensors: Mapping[str, Tensor | None]):
        super().__init__()
        self.description, self.parents, self.columns = description, parents, columns
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        ancestors = list(range(NUM_BODY))
        for parent in parents[NUM_BODY:]:
            ancestors.append(ancestors[parent])
        self.register_buffer('body_ancestors', torch.tensor(ancestors), persistent=False)  # (J,)
        merged = torch.zeros_like(self.weights[:, :NUM_BODY]).index_add_(1, self.body_ancestors, self.weights)
        self.register_buffer('merged_weights', merged, persistent=False)  # (V, 22)

    @property
    def family(self) -> str:
        """``'smplx'``, ``'smplh'`` or ``'smpl'``."""
        return self.description.family

    @property
    def num_joints(self) -> int:
        return len(self.parents)

    @property
    def num_vertices(self) -> int:
        return len(self.v_template)

    @property
    def num_betas(self) -> int:
        return self.columns.num_betas

    @property
    def num_expressions(self) -> int:
        return self.columns.num_expressions

    @property
    def num_dmpls(self) -> int:
        return self.columns.num_dmpls

    @cached_property
    def skeleton(self) -> Skeleton:
        """Names of the family's joints with the parents of the file."""
        return replace({'smplx': SMPLX_55, 'smplh': SMPLH_52, 'smpl': SMPL_24}[self.family], parents=self.parents)

    @property
    def dtype(self) -> torch.dtype:
        return self.v_template.dtype

    def extra_repr(self) -> str:
        return str(self.description)

    def joints(self, betas: Tensor | None = None, root_orient: Tensor | None = None, pose_body: Tensor | None = None,
               transl: Tensor | None = None, *, pose_hand: Tensor | None = None, pose_jaw: Tensor | None = None,
               pose_eye: Tensor | None = None, expression: Tensor | None = None, dmpls: Tensor | None = None) -> Tensor:
        """Joints (..., J, 3) in metres, exact and without the mesh.

        Args:
            betas: (..., n) shape coefficients, n at most ``num_betas``; what is missing is zero.
            root_orient: Rotation of the root about its own rest position. Where (..., 3, 3) may be a matrix or three
                vectors, here and for the jaw, the number of batch axes of the other arguments decides.
            pose_body: 21 joints.
            transl: (..., 3) metres.
            pose_hand: Left hand then right: 30 joints (SMPL-X, SMPL-H), or 2 (SMPL).
            pose_jaw: 1 joint (SMPL-X).
            pose_eye: 2 joints, left then right (SMPL-X).
            expression: (..., n), n at most ``num_expressions`` (SMPL-X).
            dmpls: (..., n), n at most ``num_dmpls`` (a body loaded with ``dmpl_path``).

        Raises:
            ValueError: A shape fits no form, batch axes do not broadcast, or the body has no such joints or columns.
        """
        with self._full_precision():
            tree = self.pose_tree(betas, root_orient, pose_body, transl, pose_hand, pose_jaw, pose_eye, expression,
                                  dmpls)
            return tree.finish(tree.joints(self.body_ancestors))

    def rest_joints(self, betas: Tensor | None = None) -> Tensor:
        """Joints of the unposed body, linear in the shape: ``betas`` (..., n) -> (..., J, 3) metres; (J, 3) for None.

        Raises:
            ValueError: There are more coefficients than ``num_betas``.
        """
        if betas is None:
            return self.joint_template
        if not betas.shape[-1] <= self.num_betas:
            raise ValueError(f'betas: found {betas.shape[-1]} coefficients, this body was loaded with '
                             f'{self.num_betas} of them ({self.description})')
        with self._full_precision():
            shapes = self.joint_shapes[..., :betas.shape[-1]].flatten(0, 1)  # (3 J, n)
            return self.joint_template + (betas.to(shapes) @ shapes.mT).unflatten(-1, (-1, 3))  # (..., J, 3)

    def vertices(self, betas: Tensor | None = None, root_orient: Tensor | None = None,
                 pose_body: Tensor | None = None, transl: Tensor | None = None, *, pose_hand: Tensor | None = None,
                 pose_jaw: Tensor | None = None, pose_eye: Tensor | None = None, expression: Tensor | None = None,
                 dmpls: Tensor | None = None) -> Tensor:
        """Vertices (..., V, 3) in metres; arguments and errors as in :meth:`joints`."""
        return self(betas, root_orient, pose_body, transl, pose_hand=pose_hand, pose_jaw=pose_jaw, pose_eye=pose_eye,
                    expression=expression, dmpls=dmpls).vertices

    def forward(self, betas: Tensor | None = None, root_orient: Tensor | None = None, pose_body: Tensor | None = None,
                transl: Tensor | None = None, *, pose_hand: Tensor | None = None, pose_jaw: Tensor | None = None,
                pose_eye: Tensor | None = None, expression: Tensor | None = None,
                dmpls: Tensor | None = None) -> BodyOutput:
        """Vertices and joints; arguments and errors as in :meth:`joints`."""
        with self._full_precision():
            tree = self.pose_tree(betas, root_orient, pose_body, transl, pose_hand, pose_jaw, pose_eye, expression,
                                  dmpls)
            return BodyOutput(tree.finish(self._skin(tree)), tree.finish(tree.joints(self.body_ancestors)))

    def select_vertices(self, vertex_ids: Sequence[int] | Tensor) -> BodyModel:
        """The same body with these vertices only, in this order; joints stay what they are.

        Faces are kept where all their vertices are; of a vertex that is asked for twice, one copy has them.

        Raises:
            ValueError: An id is no vertex of this body.
        """
        ids = check_vertex_ids(vertex_ids, self)
        place = torch.full((self.num_vertices,), -1, device=ids.device)
        place[ids] = torch.arange(len(ids), device=ids.device)
        faces = place[self.faces]
        tensors = dict(self.named_buffers(recurse=False))
        tensors = {name: tensors.get(name) for name in _TENSORS}
        tensors |= {name: tensors[name][ids] for name in ('v_template', 'blend_shapes', 'posedirs', 'weights')}
        tensors['faces'] = faces[(faces >= 0).all(dim=1)]
        return BodyModel(self.description, self.parents, self.columns, tensors)

    def markers(self, vertex_ids: Sequence[int] | Tensor, offset_m: float = 0.0095) -> Markers:
        """Points ``offset_m`` above these vertices, as a function of this body's arguments: see :class:`Markers`."""
        from motionlab.body.markers import Markers
        return Markers(self, vertex_ids, offset_m)

    def body_only(self, betas: Tensor | None = None, *, pose_hand: Tensor | None = None, pose_jaw: Tensor | None = None,
                  pose_eye: Tensor | None = None, expression: Tensor | None = None,
                  dmpls: Tensor | None = None) -> BodyOnly:
        """The fast path for one shape and constant hands and face: only root and body joints are posed.

        Arguments are those of :meth:`joints` without batch axes (or with axes of 1) and become constants.

        Raises:
            ValueError: As :meth:`joints`; or an argument holds more than one body.
        """
        from motionlab.body.body_only import BodyOnly
        with torch.no_grad(), self._full_precision():
            return BodyOnly(self, self.pose_tree(betas, None, None, None, pose_hand, pose_jaw, pose_eye, expression,
                                                 dmpls))

    def _full_precision(self) -> torch.autocast:
        # Half-precision products would move vertices by centimetres.
        return torch.autocast(self.v_template.device.type, enabled=False)

    def pose_tree(self, betas: Tensor | None, root_orient: Tensor | None, pose_body: Tensor | None,
                  transl: Tensor | None, pose_hand: Tensor | None, pose_jaw: Tensor | None, pose_eye: Tensor | None,
                  expression: Tensor | None, dmpls: Tensor | None) -> PosedTree:
        """The posed joint tree; arguments and errors as in :meth:`joints`."""
        shape = {'betas': betas, 'expression': expression, 'dmpls': dmpls}
        shape = {name: value.to(self.v_template) for name, value in shape.items() if value is not None}
        if transl is not None:
            transl = transl.to(self.v_template)
            if transl.shape[-1:] != (3,):
                raise ValueError(f'transl: found shape {tuple(transl.shape)}, expected (..., 3)')
        others = {name: value.shape[:-1] for name, value in shape.items()}
        others |= {} if transl is None else {'transl': transl.shape[:-1]}
        poses = {'root_orient': root_orient, 'pose_body': pose_body, 'pose_jaw': pose_jaw, 'pose_eye': pose_eye,
                 'pose_hand': pose_hand}
        local, batch = local_rotations(self.family, poses, others, self.v_template, self.hand_mean)
        coefficients = self._coefficients(shape, batch)
        rest = self.joint_template[..., None]  # (J, 3, 1)
        if coefficients is not None:
            rest = rest + self.joint_shapes[..., :len(coefficients)] @ coefficients  # (J, 3, 1 or B)
        world = chain_transforms(local, rest[:len(local)], self.parents[:len(local)])
        return PosedTree(batch, coefficients, local, rest, world, transl)

    def _coefficients(self, given: Mapping[str, Tensor], batch: tuple[int, ...]) -> Tensor | None:
        """(n, 1 or B) coefficients of the first n blend shapes, as few as ``given`` needs; None for the mean shape."""
        counts = {'betas': self.num_betas, 'expression': self.num_expressions, 'dmpls': self.num_dmpls}
        columns = {name: batch_last(value, batch, 1) for name, value in given.items()}  # (n, 1 or B)
        elements = common_elements(columns.values())
        rows, missing = [], 0
        for name, count in counts.items():
            found = len(columns.get(name, ()))
            if found > count:
                raise ValueError(f'{name}: found {found} coefficients, this body was loaded with {count} of them '
                                 f'({self.description})')
            if found:
                rows += [self.v_template.new_zeros(missing, elements), columns[name].expand(-1, elements)]
                missing = 0
            missing += count - found
        return torch.cat(rows) if rows else None

    def shaped_vertices(self, coefficients: Tensor | None) -> Tensor:
        """(V, 3, 1 or B) vertices before posing, of the coefficients of a :class:`PosedTree`."""
        base = self.v_template[..., None]
        if coefficients is None:
            return base
        return base + self.blend_shapes[..., :len(coefficients)] @ coefficients  # (V, 3, 1 or B)

    def _skin(self, tree: PosedTree) -> Tensor:
        """(V, 3, 1 or B)"""
        count = tree.num_turned
        return skin(self.shaped_vertices(tree.coefficients), self.posedirs[..., :9 * (count - 1)], tree.pose_features(),
                    self.merged_weights if count == NUM_BODY else self.weights, tree.rest_to_posed())


def check_vertex_ids(vertex_ids: Sequence[int] | Tensor, body: BodyModel) -> Tensor:
    """(n,) int64 ids on the body's device; ValueError when one is no vertex of the body."""
    ids = torch.as_tensor(vertex_ids, dtype=torch.long, device=body.faces.device).reshape(-1)
    if ids.numel() and not (ids.min() >= 0 and ids.max() < body.num_vertices):
        raise ValueError(f'vertex ids {ids.min()} to {ids.max()} asked for, the body has 0 to {body.num_vertices - 1}')
    return ids
