import pytest
import torch

from motionlab.models.guidance import check_condition, guidance_batch, guided_velocity
from motionlab.utils import DataError


def condition(size=2, fill=1.0):
    return {'history': torch.full((size, 3, 4), fill), 'tokens': torch.full((size, 5), fill)}


def test_null_comes_first_and_every_tensor_is_doubled():
    both = guidance_batch(condition(), condition(fill=0.0))
    assert {name: tuple(value.shape) for name, value in both.items()} == {'history': (4, 3, 4), 'tokens': (4, 5)}
    for value in both.values():
        assert (value[:2] == 0).all() and (value[2:] == 1).all()


@pytest.mark.parametrize(('weight', 'expected'), [(0.0, 5.0), (1.0, 7.0), (1.5, 8.0), (3.0, 11.0)])
def test_velocity_goes_from_null_to_condition_and_beyond(weight, expected):
    calls = []

    def network(x, time, given):
        calls.append(len(x))
        assert len(time) == len(x) and all(len(value) == len(x) for value in given.values())
        return x + 2 * given['tokens'].mean(1)[:, None]

    both = guidance_batch(condition(fill=2.0), condition(fill=1.0))
    found = guided_velocity(network, torch.full((2, 3), 3.0), torch.zeros(2), both, weight)
    assert calls == [4] and found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full((2, 3), expected))


@pytest.mark.parametrize('name', ['history', 'tokens'])
def test_a_tensor_that_is_not_doubled_is_named_with_all_shapes(name):
    both = guidance_batch(condition(), condition(fill=0.0))
    both[name] = both[name][:2]
    with pytest.raises(DataError, match=rf"{name}.*history \(.*tokens \(.*4 rows"):
        guided_velocity(lambda *_: None, torch.zeros(2, 3), torch.zeros(2), both, 2.0)


def test_halves_that_differ_are_refused():
    with pytest.raises(DataError, match=r'tokens.*same tensors in both'):
        guidance_batch(condition(), {'history': torch.zeros(2, 3, 4)})
    with pytest.raises(DataError, match=r'history.*\(2, 3, 4\) beside \(1, 3, 4\)'):
        guidance_batch(condition(), condition() | {'history': torch.zeros(1, 3, 4)})
    with pytest.raises(DataError, match='tokens'):
        guidance_batch(*[condition() | {'tokens': torch.zeros(3, 5)}] * 2)
    with pytest.raises(DataError, match='tokens'):
        check_condition({'tokens': torch.tensor(1.0)}, 1)
