import pytest
import torch

from motionlab.apis import LegacySwitches, RolloutOptions, generate_motion, load_pretrained
from motionlab.models.motion_rollout import MotionRollout
from tests.motion_batches import recorded_body, recorded_motion, recorded_tensors


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
