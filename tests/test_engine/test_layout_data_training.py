"""Training on a folder of layout data whose pictures have several sizes."""

import pytest
import torch

from motionlab.codecs.layout_codec import LayoutCodec
from motionlab.datasets.layout_preparation import LayoutPreparation, prepare_layout_images
from motionlab.utils import DataError
from tests.layout_models import run_config
from tests.layout_pictures import write_annotated_pictures
from tests.test_engine import toy

pytest.importorskip('diffusers')
pytest.importorskip('peft')


def on_folder(cfg, folder):
    cfg.train_dataloader.dataset = dict(type='LayoutImageDataset', data_root=str(folder), split='all')
    cfg.train_dataloader.sampler = dict(type='SizeBucketSampler', shuffle=True)
    return cfg


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('layouts')
    source = write_annotated_pictures(root / 'in', sizes=[(64, 64), (32, 64), (64, 64), (32, 64), (32, 64)])
    return prepare_layout_images(LayoutPreparation(source, root / 'out', side=32, multiple=8), LayoutCodec()).path


def test_sizes_take_turns_and_resuming_is_exact(folder, tmp_path):
    whole = toy.train(on_folder(run_config(tmp_path / 'whole', steps=6), folder))
    again = toy.stop_and_resume(on_folder(run_config(tmp_path / 'parts', steps=6), folder), 4)
    assert again.iter == 6
    for (name, one), (_, other) in zip(whole.bare_model.state_dict().items(), again.bare_model.state_dict().items()):
        assert torch.equal(one, other), name


def test_folder_of_other_encoders_is_refused_before_training(folder, tmp_path):
    cfg = on_folder(run_config(tmp_path / 'run'), folder)
    cfg.model.codec.text = dict(type='WordEmbeddings', num_tokens=9)
    with pytest.raises(DataError, match=r'out_all: meta.json text: found motionlab/words-v1 8x32'):
        toy.train(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))
