import numpy as np
import pytest

from motionlab.apis.layout_evaluation import DATA, WRONG_IMAGE, picture_scores
from motionlab.apis.layout_judges import DetectorJudge, find_judge
from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_scenes import LayoutSceneDataset
from motionlab.utils import ConfigError


@pytest.fixture(scope='module')
def dataset():
    return LayoutSceneDataset(num_scenes=3, seed=4)


def test_a_detector_that_knows(dataset):
    """It finds what is there in the data's own pictures, with a box too many of each category."""
    shown = [dataset.picture(sample) for sample in range(len(dataset))]

    def detect(picture, category):
        own = next(sample for sample, each in enumerate(shown) if np.array_equal(each, picture))
        boxes = [box for box, name in zip(dataset.layouts[own].boxes, dataset.layouts[own].categories)
                 if name == category]
        return np.array([*boxes, (0, 0, 0.05, 0.05)])

    codec = LayoutCodec()
    judge = DetectorJudge(codec, detect, {'colour': lambda crop, caption: 'red' not in caption})
    found = picture_scores(dataset, _only_exact(judge, shown), codec)[DATA]
    captions = [caption for layout in dataset.layouts for caption in layout.captions]
    np.testing.assert_allclose(found['iou'], 1)
    np.testing.assert_allclose(found['spatial'], 1)
    np.testing.assert_array_equal(found['colour'], ['red' not in caption for caption in captions])
    assert found['identity'].min() > 60 and found['identity'].max() <= 100


def _only_exact(judge, shown):
    """The judge where the detector knows the pictures; zeros for others."""
    def own(images, layouts, dino):
        known = all(any(np.array_equal(image, each) for each in shown) for image in images)
        return judge(images, layouts, dino) if known else {'iou': np.zeros(len(dino))}
    return own


def test_a_detector_that_finds_nothing(dataset):
    codec = LayoutCodec()
    found = picture_scores(dataset, DetectorJudge(codec, lambda picture, category: np.zeros((0, 4))), codec)
    for scores in found.values():
        assert set(scores) == {'iou', 'spatial', 'identity'} and not any(values.any() for values in scores.values())
    assert set(found) >= {DATA, WRONG_IMAGE}


def test_judges_by_name():
    assert find_judge('motionlab.datasets.layout_scenes:SceneJudge').__name__ == 'SceneJudge'
    for name in ('motionlab.nothing:x', 'motionlab.codecs:Nothing', 'motionlab', '', 'motionlab:__doc__'):
        with pytest.raises(ConfigError, match='a judge of a codec'):
            find_judge(name)
