import ast

import torch

from motionlab.apis import RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.models import motion_guidance, motion_rollout
from tests.motion_oracles import tiny_model, walking_seed


def test_primal_issue_11_returns_motion(small_body_file):
    """ray visualisation fine: old fine; **new always crashes at the end** (T-1 joints with T velocities), so new
    returns no acceleration motion at all -> visualisation outside the sampler.
    """
    body = load_body(small_body_file)
    seed, betas = walking_seed()
    motion = generate_motion(tiny_model(body, 2), body, seed, betas, 40, generator=torch.Generator().manual_seed(0),
                             options=RolloutOptions(num_steps=1))
    assert {key: tuple(value.shape) for key, value in motion.items()} == {
        'trans': (2, 40, 3), 'root_orient': (2, 40, 3), 'pose_body': (2, 40, 63), 'betas': (2, 16),
        'body_joints': (2, 40, 22, 3), 'joints': (2, 40, 22, 3)}
    assert all(value.isfinite().all() for value in motion.values())
    for module in (motion_rollout, motion_guidance):
        with open(module.__file__, encoding='utf-8') as file:
            nodes = ast.walk(ast.parse(file.read()))
        imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not any('visualization' in name for name in imported)
