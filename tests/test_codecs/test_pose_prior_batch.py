import pytest
import torch

from motionlab.codecs.pose_prior_batch import check_pose_prior_batch
from motionlab.utils import DataError


def test_a_right_batch_passes():
    check_pose_prior_batch({'pose_body': torch.zeros(2, 63), 'sample_index': torch.arange(2)})
    check_pose_prior_batch({'pose_body': torch.zeros(0, 63)})


@pytest.mark.parametrize(('batch', 'message'), [
    ({'pose_body': torch.zeros(2, 72)}, r'pose_body: found shape \(2, 72\)'),
    ({'pose_body': torch.zeros(2, 21, 3)}, r'pose_body: found shape \(2, 21, 3\)'),
    ({'pose_body': torch.zeros(2, 63), 'sample_index': torch.zeros(2, 1)}, r'sample_index: found shape \(2, 1\)'),
    ({'pose_body': torch.zeros(2, 63), 'poses': torch.zeros(2, 63)}, 'poses: found an unknown key'),
    ({'sample_index': torch.arange(2)}, 'pose_body: found only'),
])
def test_the_wrong_key_is_named(batch, message):
    with pytest.raises(DataError, match=message):
        check_pose_prior_batch(batch)
