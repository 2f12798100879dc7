import pytest
import torch

from motionlab.codecs.motion_normalisation import BlockScales
from motionlab.utils import ConfigError, DataError

BLOCKS = {'a': slice(0, 2), 'b': slice(2, 5), 'still': slice(5, 6)}


def features():
    return torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 1, 50, 50, 50, 0])


def test_scales_are_the_root_mean_squares_of_blocks():
    scales, values = BlockScales(BLOCKS), features()
    scales.fit([values[:1], values[1:]])
    rms = torch.stack([values[..., channels].square().mean().sqrt() for channels in BLOCKS.values()])
    torch.testing.assert_close(scales.scales[:2], rms[:2])
    assert scales.scales[2] == 1  # Nothing to divide by.
    assert torch.equal(scales.channel_scales(values), scales.scales[[0, 0, 1, 1, 1, 2]])


def test_scales_travel_with_the_checkpoint():
    scales, other = BlockScales(BLOCKS), BlockScales(BLOCKS)
    with pytest.raises(ConfigError, match='CodecStatisticsHook'):
        scales.channel_scales(features())
    scales.fit([features()])
    other.load_state_dict(scales.state_dict())
    assert other.is_fitted and torch.equal(other.scales, scales.scales)
    assert set(scales.state_dict()) == {'scales', 'fitted'}


@pytest.mark.parametrize('values', [[], [torch.full((1, 6), torch.nan)]], ids=['nothing', 'NaN'])
def test_bad_features_are_refused(values):
    scales = BlockScales(BLOCKS)
    with pytest.raises(DataError, match='motion features'):
        scales.fit(values)
    assert not scales.is_fitted
