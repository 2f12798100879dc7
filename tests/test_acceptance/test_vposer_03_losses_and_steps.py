import numpy as np
import pytest
import torch

from motionlab.codecs import pose_prior_batch as keys
from motionlab.registry import MODELS
from motionlab.utils.random import batch_randn, seed_iteration
from tests.conftest import read_recorded
from tests.pose_priors import random_poses
from tests.test_tools import load_tool

PlainVPoser = load_tool('analysis_tools/benchmark_vposer_step.py').PlainVPoser


def _pair(body_file, weights=None):
    """Ours, and the original formulation with torch.nn and smplx; float64, no dropout."""
    neurons, latent = (16, 4) if weights is None else (512, 32)
    torch.manual_seed(0)
    ours = MODELS.build(dict(
        type='PosePrior', codec=dict(type='BodyPoseCodec'), head=dict(type='VariationalHead'),
        backbone=dict(type='VPoser', num_neurons=neurons, latent_dim=latent, dropout=0.0),
        body=dict(type='BodyModel', path=str(body_file), dtype=torch.float64))).double()
    if weights is not None:
        ours.backbone.load_state_dict(weights)
    ours.load_body()
    return ours.train(), PlainVPoser(ours, body_file).double().train()


def _check(ours, plain, poses, epoch):
    """Terms, total, gradients and two steps of Adam with the published settings."""
    batch = {keys.POSE_BODY: poses}
    ours.set_epoch(epoch)
    adams = [torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5) for model in (ours, plain)]
    for step in range(2):
        seed_iteration(0, 0, 1, step)
        found = ours.loss(batch)
        seed_iteration(0, 0, 1, step)
        expected = plain.loss(poses, batch_randn((len(poses), ours.latent_dim)), epoch)
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-6, abs=1e-6), name
        for adam, loss in zip(adams, (found['loss'], expected['total'])):
            adam.zero_grad()
            loss.backward()
        named = dict(plain.named_parameters())
        for name, parameter in ours.backbone.named_parameters():
            difference = (parameter.grad - named[name].grad).norm() / named[name].grad.norm()
            assert difference < (1e-6 if step == 0 else 1e-3), name
        for adam in adams:
            adam.step()
        for name, parameter in ours.backbone.named_parameters():
            difference = (parameter - named[name]).abs()
            # Adam divides a gradient by its size: where that is about 1e-9, the original's rounding becomes a part of
            # a step of 1e-3.
            assert difference.max() < 5e-5 and (difference > 1e-6).double().mean() < 1e-2, name


@pytest.mark.parametrize('epoch', [0, 14, 15])
def test_vposer_03_losses_and_steps(epoch, small_body_file):
    """All loss terms, total at epochs 0/14/15, gradients and two optimiser steps match golden.

    Golden is the original formulation: published layers, torch's KL divergence, arccos of the trace, matrices turned
    into axis-angle, two full meshes of the smplx package.
    """
    poses = torch.from_numpy(random_poses(12)).double()
    _check(*_pair(small_body_file), poses, epoch)


def test_vposer_03_with_published_layers(shared_dir, small_body_file):
    """The same with recorded weights of published size and recorded poses (zero, and angles above pi, among them)."""
    weights = torch.load(shared_dir / 'reference/vposer/vposer_raw_fp16.pt')
    poses = read_recorded(shared_dir, 'vposer/vposer_io')['pose_body'].astype(np.float64)
    _check(*_pair(small_body_file, weights), torch.from_numpy(poses), epoch=0)
