import pytest
import torch

from motionlab.apis import RolloutOptions, generate_motion
from motionlab.body import load_body
from motionlab.body.rotations import rotvec_to_rotmat
from motionlab.utils import DataError
from tests.motion_batches import motion_batch
from tests.motion_oracles import tiny_model


@pytest.mark.parametrize('order', [1, 2])
def test_primal_07_seed_frames(order, small_body_file):
    """Velocity seed needs >= 2 frames, acceleration >= 3; fewer = message saying how many; more = first ones used,
    documented.
    """
    body = load_body(small_body_file)
    model, seed = tiny_model(body, order), motion_batch(2, 8)
    betas = seed.pop('betas')

    def motion(count: int) -> dict[str, torch.Tensor]:
        return generate_motion(model, body, {key: value[:, :count] for key, value in seed.items()}, betas, 20,
                               generator=torch.Generator().manual_seed(0), options=RolloutOptions(num_steps=2))

    found = motion(order + 1)
    for key, value in motion(8).items():
        assert torch.equal(value, found[key])
    for key, value in seed.items():
        first = [vectors if key == 'trans' else rotvec_to_rotmat(vectors.unflatten(-1, (-1, 3)))
                 for vectors in (found[key][:, 0], value[:, 0])]
        torch.testing.assert_close(*first, atol=1e-5, rtol=0)
    with pytest.raises(DataError, match=f'order {order} needs {order + 1} frames of seed; of more, the first '
                                        f'{order + 1} are used'):
        motion(order)
    assert 'of more, the first ones' in generate_motion.__doc__
