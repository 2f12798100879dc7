"""The published objective of fitting a body, written out a second time with loops and textbook formulas."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from motionlab.models import PosePrior


def rotations(rotvec: Tensor) -> Tensor:
    """(..., 3) axis-angle -> (..., 3, 3), as the exponential of the cross-product matrix."""
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3)))


def decoded(prior: PosePrior, z: Tensor) -> Tensor:
    """Latents (B, L) -> matrices (B, 21, 3, 3)."""
    weights = {key.removeprefix('backbone.decoder_net.'): value for key, value in prior.state_dict().items()}
    x = F.leaky_relu(F.linear(z, weights['0.weight'], weights['0.bias']), 0.01)
    x = F.leaky_relu(F.linear(x, weights['3.weight'], weights['3.bias']), 0.01)
    x = F.linear(x, weights['5.weight'], weights['5.bias']).view(len(z), 21, 3, 2)
    first = x[..., 0] / x[..., 0].norm(dim=-1, keepdim=True)
    second = x[..., 1] - (first * x[..., 1]).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def joints(body: dict[str, np.ndarray], betas: Tensor, root_orient: Tensor, rotmats: Tensor, trans: Tensor) -> Tensor:
    """(B, 22, 3) by a loop over the tree of a body file."""
    shapes = torch.from_numpy(body['shapedirs'][..., :betas.shape[1]]).double()
    shaped = torch.from_numpy(body['v_template']).double() + torch.einsum('vcn,bn->bvc', shapes, betas)
    rest = torch.einsum('jv,bvc->bjc', torch.from_numpy(body['J_regressor']).double(), shaped)
    turned, placed = [rotations(root_orient)], [rest[:, 0] + trans]
    for joint in range(1, 22):
        parent = int(body['kintree_table'][0, joint])
        placed.append(placed[parent] + torch.einsum('bij,bj->bi', turned[parent], rest[:, joint] - rest[:, parent]))
        turned.append(turned[parent] @ rotmats[:, joint - 1])
    return torch.stack(placed, dim=1)


def objective(distance: Tensor, variables: dict[str, Tensor], weights: dict[str, float], data_loss: str) -> Tensor:
    """Of differences (B, K, 3) between points and targets."""
    if data_loss == 'mse_sum':
        data = (distance ** 2).sum()
    else:
        data = torch.where(distance.abs() < 1, distance ** 2 / 2, distance.abs() - 0.5).mean()
    return weights['data'] * data + weights['poZ'] * (variables['poZ'] ** 2).sum() \
        + weights['betas'] * (variables['betas'] ** 2).sum()
