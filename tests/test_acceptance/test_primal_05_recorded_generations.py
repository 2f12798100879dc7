from dataclasses import replace

import numpy as np
import pytest
import torch

from motionlab.apis import LegacySwitches, MotionControl, RolloutOptions, generate_motion, load_pretrained
from motionlab.body import load_body
from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.models.motion_rollout import MotionRollout
from tests.motion_batches import motion_batch, recorded_body, recorded_motion, recorded_tensors
from tests.motion_oracles import tiny_model, window_noise
from tests.original_sampler import OriginalSampler, Wanted

SETTINGS = (Wanted(), Wanted(snap=True, reproject=True, direction=(1.2, 0., -0.9)), Wanted(snap=True),
            Wanted(impulse='left_kick', inertialise=False),
            Wanted(impulse='roll_forward', direction=(0., 0., 1.5), moving=5., facing=2.))


def recorded_options(case: dict) -> tuple[RolloutOptions, int]:
    """Options of a recorded generation, all legacy switches on, and how many frames it has."""
    args = case['args']
    return RolloutOptions(num_steps=args['n_inference_steps'], snap=args['snap_to_ground'],
                          reproject=args['reproj_kpts'], inertialise=args['switch_on_inertialization'],
                          legacy=LegacySwitches.original()), case['xb_aa'].shape[1]


def test_primal_05_recorded_generations(shared_dir):
    """Velocity generations with recorded noise match (1e-4): plain. Where the fix changes results the match is required
    with documented legacy switches on; defaults are the fixed behaviour.
    """
    case = recorded_tensors(shared_dir, 'gen_vel_plain')
    model = load_pretrained('primal', shared_dir / 'reference/primal/model_velocity.pt', num_heads=4,
                            activation='silu', ema=False)
    options, count = recorded_options(case)
    body, batch = recorded_body(shared_dir), recorded_motion(case['batch']['xb'], case['batch']['betas'])
    found = generate_motion(model, body, batch, batch['betas'], count, noise=case['noise'], options=options)
    vectors = torch.cat([found['trans'], found['root_orient'], found['pose_body']], dim=-1)
    torch.testing.assert_close(vectors, case['xb_aa'], atol=1e-4, rtol=0)
    torch.testing.assert_close(found['joints'], case['joints'], atol=1e-4, rtol=0)

    rollout = MotionRollout(model, options)
    state = rollout.begin(batch)
    for number, noise in enumerate(case['noise']):
        window, state = rollout.step(state, noise[:, None])
        for value, key in ((window.seed[:, 0], 'seeds'), (window.frame.rotation, 'rotmat'),
                           (window.frame.origin, 'transl'), (window.features, 'output_windows')):
            torch.testing.assert_close(value[0], case[key][number], atol=1e-4, rtol=0)

    fixed = generate_motion(model, body, batch, batch['betas'], count, noise=case['noise'],
                            options=RolloutOptions(num_steps=options.num_steps))
    differences = (fixed['trans'] - found['trans']).abs().amax((0, 2))                     # (N,)
    assert differences[:14].max() < 1e-4 < differences.max() < 0.05  # The first window has an orthonormal seed.


@pytest.mark.parametrize('switch', ['snap_before_blend', 'snap_body_only', 'blended_rotations', 'guide_acceleration',
                                    'feature_impulses'])
def test_primal_05_switches_are_documented(switch):
    """Documented legacy switches; defaults are the fixed behaviour."""
    assert getattr(LegacySwitches.original(), switch) is True
    assert getattr(RolloutOptions().legacy, switch) is False
    assert f'{switch}: ' in LegacySwitches.__doc__


@pytest.mark.parametrize('order, rotation, metric', [(1, '6d', False), (1, '6d', True), (1, 'axis_angle', False),
                                                     (2, '6d', False), (2, '6d', True), (2, 'axis_angle', True)])
def test_primal_05_all_settings_of_both_variants(order, rotation, metric, small_body_file):
    """Guidance+snap+reproject, impulse, metric; acceleration windows match too, with documented legacy switches on."""
    model = tiny_model(load_body(small_body_file), order, codec=dict(rotation=rotation, metric=metric))
    batch, noise = motion_batch(1, order + 1, seed=3), window_noise(1, 3, 16 - order, model.codec.in_channels, steps=4)
    vectors = torch.cat([batch[key] for key in ('trans', 'root_orient', 'pose_body')], dim=-1)[0]

    @torch.no_grad()
    def network(x: np.ndarray, t: int, xs: np.ndarray) -> np.ndarray:
        seed = model.embed_seed(torch.tensor(xs, dtype=torch.float32)[None, None])
        return model(torch.tensor(x, dtype=torch.float32)[None], torch.tensor([t]), seed)[0].double().numpy()

    original = OriginalSampler(small_body_file, batch['betas'][0].double().numpy(), network, order, rotation, metric)
    for wanted in SETTINGS:
        control = MotionControl(impulse=wanted.impulse)
        if wanted.direction is not None:
            share = 0.01 if metric else 1.0
            wanted = replace(wanted, moving=share * wanted.moving, facing=share * wanted.facing)
            control = replace(control, direction=wanted.direction, speed=1.5, moving_weight=wanted.moving,
                              facing_weight=wanted.facing)
        trans, rotmats, joints = original.run(vectors.double().numpy(), noise[0].double().numpy(), wanted)
        found = generate_motion(model, None, batch, batch['betas'], len(trans), noise=noise, controls=control,
                                options=RolloutOptions(num_steps=4, snap=wanted.snap, reproject=wanted.reproject,
                                                       inertialise=wanted.inertialise,
                                                       legacy=LegacySwitches.original()))
        turns = torch.cat([found['root_orient'], found['pose_body']], dim=-1)[0].unflatten(-1, (22, 3))
        for value, expected in ((found['trans'], trans), (rotvec_to_rotmat(turns)[None], rotmats),
                                (found['joints'], joints)):
            torch.testing.assert_close(value[0], torch.from_numpy(expected).float(), atol=1e-4, rtol=0)
