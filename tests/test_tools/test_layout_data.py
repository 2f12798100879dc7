import importlib.util
from pathlib import Path

import pytest
import torch

from motionlab.datasets.layout_files import LayoutPaths
from motionlab.utils import ConfigError, DataError
from tests.layout_pictures import write_annotated_pictures

REPO = Path(__file__).resolve().parents[2]


def tool(name):
    spec = importlib.util.spec_from_file_location(Path(name).stem, REPO / 'tools' / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def folder(tmp_path, capsys):
    source = write_annotated_pictures(tmp_path / 'in')
    assert tool('dataset_converters/prepare_layout_images.py')([str(source), str(tmp_path / 'out'), '--tiny']) == 0
    assert '3 images, 6 objects' in capsys.readouterr().out
    return tmp_path / 'out'


def test_table_of_a_good_folder(folder, capsys):
    assert tool('analysis_tools/check_layout_data.py')([str(folder), '--max-refs', '1']) == 0
    lines = {line.strip().split('  ')[0]: ' '.join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert 'foreground 3, midground 0, background 3' in lines['depth labels']
    assert lines['objects'].endswith('6: 2 to 2 in an image, mean 2.0')
    assert lines['more than 1 objects'].endswith('3 images, 3 objects left out')
    assert '16 x 16 (1)' in lines['sizes of latents'] and 'clip 64, dino 128' in lines['dims']
    assert lines['split train'].endswith('2 good images') and lines['split val'].endswith('1 good images')


def test_table_of_a_bad_folder(folder, capsys):
    LayoutPaths(folder).text('p1').unlink()
    torch.save(torch.zeros(16, 3, 4), LayoutPaths(folder).latents('p2'))
    assert tool('analysis_tools/check_layout_data.py')([str(folder)]) == 1
    out = capsys.readouterr().out
    assert '1 good images, 2 bad' in out and 'bad images by field: file 1, shape 1' in out
    assert '(16, 3, 4)' in out


def test_config_is_compared(folder, tmp_path, capsys):
    config = tmp_path / 'config.py'
    config.write_text("model = dict(codec=dict(type='LayoutCodec', text=dict(type='WordEmbeddings', dim=32)))\n")
    assert tool('analysis_tools/check_layout_data.py')([str(folder), '--config', str(config)]) == 0
    assert 'has the encoders that made the folder' in capsys.readouterr().out
    with pytest.raises(DataError, match=r'meta.json text: found motionlab/words-v1 8x32'):
        tool('analysis_tools/check_layout_data.py')(
            [str(folder), '--config', str(config), '--cfg-options', 'model.codec.text.dim=16'])
    config.write_text("model = dict(codec=dict(type='Other'))\n")
    with pytest.raises(ConfigError, match='expected a LayoutCodec'):
        tool('dataset_converters/prepare_layout_images.py')(['a.json', str(tmp_path / 'x'), '--config', str(config)])
