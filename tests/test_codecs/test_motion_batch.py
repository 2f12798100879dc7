import pytest
import torch

from motionlab.codecs.motion_batch import check_motion_batch
from motionlab.utils import DataError
from tests.motion_batches import motion_batch


def test_full_batch_is_accepted():
    batch = motion_batch(3, 4)
    check_motion_batch({**batch, 'sample_index': torch.arange(3), 'action': torch.zeros(3).long(),
                        'goal': torch.zeros(3, 2)})
    check_motion_batch({**batch, 'goal': torch.zeros(3, 3)})


@pytest.mark.parametrize(('key', 'value', 'words'), [
    ('trans', None, 'trans: found only'),
    ('betas', None, 'betas: found only'),
    ('pose', torch.zeros(3, 4), 'an unknown key'),
    ('trans', torch.zeros(3, 3), 'trans: found shape (3, 3)'),
    ('pose_body', torch.zeros(3, 4, 69), 'pose_body: found shape (3, 4, 69), expected shape (3, 4, 63)'),
    ('pose_body', torch.zeros(3, 5, 63), 'pose_body: found shape (3, 5, 63), expected shape (3, 4, 63)'),
    ('root_orient', torch.zeros(2, 4, 3), 'root_orient: found shape (2, 4, 3), expected shape (3, 4, 3)'),
    ('betas', torch.zeros(3, 4, 16), 'betas: found shape (3, 4, 16), expected shape (3, n)'),
    ('goal', torch.zeros(3, 4), 'goal: found shape (3, 4), expected shape (3, 2 or 3)'),
    ('action', torch.zeros(3, 1).long(), 'action: found shape (3, 1), expected shape (3)')])
def test_each_fault_is_named(key, value, words):
    batch = motion_batch(3, 4)
    batch.pop(key, None)
    if value is not None:
        batch[key] = value
    with pytest.raises(DataError) as error:
        check_motion_batch(batch, 'here')
    assert str(error.value).startswith('here: ') and words in str(error.value)
