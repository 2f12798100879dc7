import pytest

from motionlab.codecs.meta_check import check_expected
from motionlab.datasets.layout_meta import make_layout_meta
from motionlab.datasets.layout_scenes.dataset import LayoutSceneDataset
from motionlab.registry import MODELS
from motionlab.utils import ConfigError, DataError
from tests.layout_folders import DIMS, VAE
from tests.layout_models import model_config

META = make_layout_meta(VAE, 'clip', 'dino', 'text', DIMS)


def test_parts_are_compared():
    check_expected(META, dict(clip='clip', vae=dict(value_range=(-1, 1)), dims=dict(dino=10)), 'here')
    with pytest.raises(DataError, match=r'here: meta.json dims.dino: found 10, expected 9, as the config says'):
        check_expected(META, dict(dims=dict(dino=9)), 'here')
    with pytest.raises(ConfigError, match=r'dims.dinov2 is none of the keys'):
        check_expected(META, dict(dims=dict(dinov2=9)), 'here')


def test_model_refuses_data_of_other_encoders():
    model = MODELS.build(model_config())
    metainfo = LayoutSceneDataset(num_scenes=1).metainfo
    model.check_data(metainfo)
    model.check_data({})
    with pytest.raises(DataError, match=r'own: meta.json vae.id: found test'):
        model.check_data(dict(meta=META, dataset_name='own'))
