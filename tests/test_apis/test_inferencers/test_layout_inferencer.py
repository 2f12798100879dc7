import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from motionlab.apis import LayoutToImageInferencer
from motionlab.apis.layout_requests import LayoutReference, LayoutRequest
from motionlab.models.layout_sampling import LayoutOptions
from motionlab.utils import ConfigError, DataError
from tests.layout_models import make_model, model_config

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)


def _request(name='a', size=(32, 32), objects=2, alpha=None):
    references = tuple(LayoutReference((0.1 * place, 0.2, 0.1 * place + 0.5, 0.8), PICTURE[place:], alpha=alpha,
                                       name=f'thing {place}') for place in range(objects))
    return LayoutRequest('circle, square', references, *size, name)


@pytest.fixture(scope='module')
def inferencer():
    return LayoutToImageInferencer(make_model(3))


def test_requests_of_several_sizes(inferencer):
    requests = [_request('a'), _request('b', (16, 48), 1), _request('c', objects=0), _request('d', alpha=0.25)]
    answer = inferencer.predict(requests, options=LayoutOptions(seed=3))
    found, picture = answer['predictions'], answer['visualization']
    assert [image.shape for image in found.images] == [(32, 32, 3), (16, 48, 3), (32, 32, 3), (32, 32, 3)]
    assert [len(alpha) for alpha in found.alphas] == [2, 1, 0, 2] and (found.alphas[3] == 0.25).all()
    assert picture.shape == (256, 256, 3) and found.seeds == [3, 4, 5, 6]
    alone = inferencer.predict(requests[1], options=LayoutOptions(seed=4), draw=False)
    np.testing.assert_allclose(alone['predictions'].images[0].astype(int), found.images[1].astype(int), atol=1)
    assert alone['visualization'] is None


def test_files(inferencer, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / 'thing.png')
    (tmp_path / 'shot.json').write_text(json.dumps(dict(
        global_caption='circle', width=32, height=32, objects=[dict(bbox=[0, 0, 0.5, 0.5], reference='thing.png')])))
    found = inferencer.predict(tmp_path / 'shot.json', draw=False)['predictions']
    written = found.save(tmp_path / 'new/out')
    assert [path.name for path in written] == ['shot.png', 'shot.overlay.png', 'shot.json']
    with Image.open(written[0]) as image:
        np.testing.assert_array_equal(np.asarray(image), found.images[0])
    facts = json.loads(written[2].read_text())
    assert facts['objects'][0]['alpha'] == pytest.approx(float(found.alphas[0][0]), abs=1e-6) and facts['seed'] == 0
    red = np.abs(found.overlay(0).astype(int) - (220, 40, 40)).sum(-1).min() == 0
    blue = np.abs(found.overlay(0).astype(int) - (50, 90, 230)).sum(-1).min() == 0
    assert red == (found.alphas[0][0] >= 0.5) and blue == (found.alphas[0][0] < 0.5)
    with pytest.raises(ConfigError, match='expected some of'):
        found.save(tmp_path, ['.jpg'])
    twice = inferencer.predict([_request(), _request()], options=LayoutOptions(num_steps=1), draw=False)['predictions']
    with pytest.raises(ConfigError, match='overwrite each other'):
        twice.save(tmp_path)


def test_a_config_and_its_checkpoint(inferencer, tmp_path):
    torch.save({'state_dict': inferencer.model.state_dict(), 'meta': {}}, tmp_path / 'w.pth')
    torch.manual_seed(0)  # Of the random base, which is in no checkpoint.
    own = LayoutToImageInferencer({'model': model_config(3)}, tmp_path / 'w.pth')
    for ours, theirs in zip(own.model.state_dict().values(), inferencer.model.state_dict().values()):
        assert torch.equal(ours, theirs)


def test_wrong_requests(inferencer):
    with pytest.raises(ConfigError, match='at least one'):
        inferencer.predict([])
    with pytest.raises(DataError, match=r'request a: .*nearest valid size is 32 x 40'):
        inferencer.predict(_request(size=(32, 37)))
    with pytest.raises(DataError, match=r'none\.json'):
        inferencer.predict('none.json')
    with pytest.raises(ConfigError, match='expected a LayoutDiffuser'):
        LayoutToImageInferencer(nn.Linear(1, 1))
    with pytest.raises(ConfigError, match='without checkpoint'):
        LayoutToImageInferencer({'model': model_config(3)})
    base = LayoutToImageInferencer(make_model(0))
    assert base.predict(_request(objects=0), draw=False)['predictions'].images[0].shape == (32, 32, 3)
    with pytest.raises(ConfigError, match='takes no references'):
        base.predict(_request())
