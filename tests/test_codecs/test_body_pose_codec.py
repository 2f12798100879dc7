import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from motionlab.codecs import BodyPoseCodec
from motionlab.utils import DataError

CODEC = BodyPoseCodec()


def _six_numbers(rotmats: np.ndarray) -> torch.Tensor:
    """(B, 21, 3, 3) -> (B, 126): first two columns, interleaved, and neither orthogonal nor of length 1."""
    first, second = 2.5 * rotmats[..., 0], 0.3 * rotmats[..., 1] + 0.7 * rotmats[..., 0]
    return torch.from_numpy(np.stack([first, second], axis=-1).reshape(len(rotmats), 126)).float()


def test_a_pose_is_read_as_it_is_in_either_shape():
    pose = torch.randn(4, 21, 3)
    assert torch.equal(CODEC.encode({'pose_body': pose})['inputs'], pose.flatten(1))
    assert torch.equal(CODEC.encode({'pose_body': pose.flatten(1)})['inputs'], pose.flatten(1))


@pytest.mark.parametrize('shape', [(63,), (2, 69), (2, 22, 3), (2, 3, 63)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match=r'pose_body: found shape .*\(B, 63\) or \(B, 21, 3\)'):
        CODEC.encode({'pose_body': torch.zeros(shape)})


def test_decodes_columns_and_agrees_with_itself():
    rotations = Rotation.random(3 * 21, random_state=0)
    expected = rotations.as_matrix().reshape(3, 21, 3, 3)
    output = _six_numbers(expected)
    decoded = CODEC.decode(output)
    assert decoded['pose_body'].shape == (3, 21, 3) and decoded['pose_body_matrot'].shape == (3, 21, 9)
    np.testing.assert_allclose(CODEC.to_rotmats(output), expected, atol=1e-6)
    np.testing.assert_allclose(decoded['pose_body_matrot'].view(3, 21, 3, 3), expected, atol=1e-6)
    np.testing.assert_allclose(decoded['pose_body'].reshape(-1, 3), rotations.as_rotvec(), atol=1e-5)
    again = CODEC.target_rotmats(CODEC.encode({'pose_body': decoded['pose_body']})['inputs'])
    np.testing.assert_allclose(again, expected, atol=1e-6)


def test_nothing_to_fit_and_nothing_to_save():
    assert not CODEC.needs_fit and not CODEC.state_dict()
    assert (CODEC.in_channels, CODEC.out_channels) == (63, 126)
