import pytest
import torch

from motionlab.models import BatchPreprocessor
from motionlab.registry import TRANSFORMS
from motionlab.utils import DataError


class _Double:
    def __call__(self, batch):
        return {**batch, 'a': 2 * batch['a']}


def test_moves_and_wraps_the_batch():
    preprocessor = BatchPreprocessor().to('meta')
    out = preprocessor({'a': torch.ones(3, 2), 'b': torch.arange(3)}, training=True)
    assert set(out) == {'batch'} and set(out['batch']) == {'a', 'b'}
    assert {value.device.type for value in out['batch'].values()} == {'meta'}


def test_augments_only_while_training():
    TRANSFORMS.register_module(name='_Double', module=_Double, force=True)
    preprocessor = BatchPreprocessor(augmentations=[dict(type='_Double')] * 2)
    data = {'a': torch.ones(3)}
    assert preprocessor(data, training=True)['batch']['a'].tolist() == [4, 4, 4]
    assert preprocessor(data, training=False)['batch']['a'].tolist() == [1, 1, 1]
    assert data['a'].tolist() == [1, 1, 1]
    TRANSFORMS.module_dict.pop('_Double')


@pytest.mark.parametrize(('data', 'named'), [
    ([torch.ones(2)], 'batch_collate'), ({}, 'batch_collate'), ({'a': [1, 2]}, 'a: found list'),
    ({'a': torch.ones(2), 'b': torch.ones(3)}, 'b: found 3 samples, expected 2')])
def test_what_is_no_flat_batch_is_named(data, named):
    with pytest.raises(DataError, match=named):
        BatchPreprocessor()(data)
