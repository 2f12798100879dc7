import pytest
import torch

from motionlab.codecs import lifting_batch as keys
from motionlab.utils import DataError


def batch(**changes) -> dict[str, torch.Tensor]:
    made = {keys.KEYPOINTS_PX: torch.zeros(2, 9, 17, 2), keys.CONFIDENCE: torch.zeros(2, 9, 17),
            keys.IMAGE_SIZE_PX: torch.zeros(2, 2), keys.TARGET_M: torch.zeros(2, 1, 17, 3),
            keys.FRAME_INDEX: torch.zeros(2, 1, dtype=torch.int64)}
    return {**made, **changes}


def test_a_right_batch_passes():
    keys.check_lifting_batch(batch())


@pytest.mark.parametrize(('changes', 'message'), [
    ({'confidence': torch.zeros(2, 8, 17)}, r'confidence: found shape \(2, 8, 17\), expected shape \(2, 9, 17\)'),
    ({'keypoints_px': torch.zeros(2, 9, 17, 3)}, r'keypoints_px: found shape \(2, 9, 17, 3\)'),
    ({'target_m': torch.zeros(2, 17, 3)}, r'target_m: found shape \(2, 17, 3\), expected .*BMK3'),
    ({'frame_index': torch.zeros(2, 5)}, r'frame_index: found shape \(2, 5\), expected shape \(2, 1\)'),
    ({'keypoint_px': torch.zeros(2)}, 'keypoint_px: found an unknown key, expected one of .*keypoints_px'),
])
def test_a_wrong_batch_is_told_so_by_key_and_shape(changes, message):
    with pytest.raises(DataError, match=message):
        keys.check_lifting_batch(batch(**changes))
