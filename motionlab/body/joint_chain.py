"""Rigid transforms along a joint tree, one product per tree level, with the batch as the innermost axis."""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from motionlab.body.skeletons import tree_levels


def batch_last(values: Tensor, batch: tuple[int, ...], value_axes: int) -> Tensor:
    """Move the batch axes to the end as one.

    Args:
        values: (*b, *value), b broadcasting to ``batch`` of B elements.
        batch: Shape of all batch axes.
        value_axes: Number of axes in value.

    Returns:
        (*value, B), or (*value, 1) where b has one element only.
    """
    value = values.shape[values.ndim - value_axes:]
    own = values.shape[:values.ndim - value_axes]
    count = math.prod(own)
    if count != 1:
        values, count = values.expand(*batch, *value), math.prod(batch)
    return values.reshape(count, math.prod(value)).mT.reshape(*value, count)


def batch_first(values: Tensor, batch: tuple[int, ...]) -> Tensor:
    """(*value, B) as a view (*batch, *value); the batch stays innermost in memory."""
    values = values.movedim(-1, 0)
    return values.unflatten(0, batch) if batch else values[0]


def common_elements(tensors: Iterable[Tensor]) -> int:
    """Length that the last axes (1 or B) broadcast to."""
    return next((tensor.shape[-1] for tensor in tensors if tensor.shape[-1] != 1), 1)


def chain_transforms(local: Tensor, rest: Tensor, parents: tuple[int, ...]) -> Tensor:
    """World transforms of the joints of a posed tree: rotation and position of each.

    Differentiable once. A joint's rotation turns everything below it; the root turns about its own position.

    Args:
        local: (J, 3, 3, 1 or B) rotation of each joint in its parent's frame.
        rest: (J, 3, 1 or B) unposed joints, metres.
        parents: J parent indices, -1 for the root.

    Returns:
        (J, 3, 4, B): rotation in columns 0 to 2, position in column 3.
    """
    bones = rest - rest[[max(parent, 0) for parent in parents]]  # (J, 3, 1 or B)
    roots = torch.tensor([parent < 0 for parent in parents], device=rest.device)
    bones = torch.where(roots[:, None, None], rest, bones)
    batch = common_elements((local, bones))
    return _Chain.apply(local.expand(-1, -1, -1, batch), bones.expand(-1, -1, batch), parents)


class _Chain(Function):
    """Inside, joints of one level lie together, and (J, 3, 4, B) steps hold rotations and bones side by side."""

    @staticmethod
    def forward(ctx, local: Tensor, bones: Tensor, parents: tuple[int, ...]) -> Tensor:
        order, back, levels = _plan(parents)
        steps = local.new_empty(*bones.shape[:2], 4, bones.shape[2])  # (J, 3, 4, B)
        steps[:, :, :3], steps[:, :, 3] = local[order], bones[order]
        world = torch.empty_like(steps)
        for span, carriers in levels:
            if carriers is None:
                world[span] = steps[span]
                continue
            carrier = world[carriers]  # (n, 3, 4, B)
            _sum_products(carrier[:, :, :3, None].unbind(2), steps[span, None].unbind(2), out=world[span])
            world[span, :, 3] += carrier[:, :, 3]
        ctx.save_for_backward(steps, world)
        ctx.plan = order, back, levels
        return world[back]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        steps, world = ctx.saved_tensors
        order, back, levels = ctx.plan
        # (J, 3, 4, B), complete for a level once all below it have been walked; ours to write to.
        grad = grad.clone() if isinstance(order, slice) else grad[order]
        grad_steps = torch.empty_like(steps)
        for span, carriers in reversed(levels):
            if carriers is None:
                grad_steps[span] = grad[span]
                continue
            pull, step = grad[span], steps[span]
            _sum_products(world[carriers][:, :, :3, None].unbind(1), pull[:, :, None].unbind(1), out=grad_steps[span])
            passed_on = torch.empty_like(pull)
            _sum_products(pull[:, :, None].unbind(3), step[:, None].unbind(3), out=passed_on[:, :, :3])
            passed_on[:, :, 3] = pull[:, :, 3]
            grad.index_add_(0, torch.tensor(carriers, device=grad.device), passed_on)
        grad_steps = grad_steps[back]
        return grad_steps[:, :, :3], grad_steps[:, :, 3], None


def _sum_products(first: Sequence[Tensor], second: Sequence[Tensor], out: Tensor) -> None:
    """``out`` = sum of the products of both lists: a small matrix product with the batch as its innermost axis."""
    torch.mul(first[0], second[0], out=out)
    for a, b in zip(first[1:], second[1:]):
        out.addcmul_(a, b)


@lru_cache
def _plan(parents: tuple[int, ...]) -> tuple[list[int] | slice, list[int] | slice,
                                             list[tuple[slice, list[int] | None]]]:
    """Joints by level, the way back, and per level its span in that order and where its parents are (roots: None).

    Where joints lie level by level already (the 22 of the body do), both orders are a slice: no copies.
    """
    levels = tree_levels(parents)
    order = [joint for level in levels for joint in level]
    spans, start = [], 0
    for depth, level in enumerate(levels):
        carriers = [order.index(parents[joint]) for joint in level] if depth else None
        spans.append((slice(start, start + len(level)), carriers))
        start += len(level)
    if order == list(range(len(order))):
        return slice(None), slice(None), spans
    return order, [order.index(joint) for joint in range(len(order))], spans
