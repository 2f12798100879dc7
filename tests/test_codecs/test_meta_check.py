import pytest

from motionlab.codecs.meta_check import check_expected
from motionlab.datasets.layout_meta import UPSTREAM_META, make_layout_meta
from motionlab.datasets.layout_scenes.dataset import LayoutSceneDataset
from motionlab.registry import CODECS, MODELS
from motionlab.utils import DataError
from tests.layout_folders import DIMS, VAE
from tests.layout_models import model_config

META = make_layout_meta(VAE, 'clip', 'dino', 'text', DIMS)


def test_parts_are_compared():
    check_expected(META, dict(clip='clip', vae=dict(value_range=(-1, 1)), dims=dict(dino=10)), 'here')
    with pytest.raises(DataError, match=r'here: meta.json dims.dino: found 10, expected 9, as the config says'):
        check_expected(META, dict(dims=dict(dino=9)), 'here')
    with pytest.raises(DataError, match=r'meta.json dims.dinov2: found only latent_channels, clip, '):
        check_expected(META, dict(dims=dict(dinov2=9)), 'here')


def test_model_refuses_data_of_other_encoders():
    model = MODELS.build(model_config())
    metainfo = LayoutSceneDataset(num_scenes=1).metainfo
    model.check_data(metainfo)
    model.check_data({})
    with pytest.raises(DataError, match=r'own: meta.json vae.id: found test'):
        model.check_data(dict(meta=META, dataset_name='own'))


def test_original_preparation_differs_in_what_its_autoencoder_was_fed():
    codec = CODECS.build(dict(type='LayoutCodec', image=dict(type='FluxAutoencoder'),
                              references=dict(type='ClipDinoReferences'), text=dict(type='FluxTextEncoders')))
    expected = codec.describe()
    with pytest.raises(DataError, match=r'vae.shift: found 0.0, expected 0.1159, .*the original preparation'):
        check_expected(UPSTREAM_META, expected, 'output_data')
    check_expected(UPSTREAM_META, expected | dict(vae=expected['vae'] | dict(shift=0.0, value_range=[0, 1])), 'here')
