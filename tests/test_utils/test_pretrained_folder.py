"""Networks in folders of diffusers and transformers, here of a class that fails as theirs do."""

import pytest

from motionlab.utils import CheckpointError
from motionlab.utils.pretrained_folder import read_config, read_network, read_pretrained


class Network:
    missing: tuple[str, ...] = ()

    @classmethod
    def from_pretrained(cls, path, local_files_only, use_safetensors=None, output_loading_info=False):
        assert local_files_only
        if 'broken' in path:
            raise KeyError('weights')
        report = dict(missing_keys=cls.missing, mismatched_keys=[], unexpected_keys=['more'])
        return (cls(), report) if output_loading_info and use_safetensors else cls()


def test_a_network_with_all_weights_is_read(tmp_path):
    assert isinstance(read_network(Network, tmp_path), Network)
    assert isinstance(read_pretrained(Network, tmp_path), Network)


def test_missing_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Network, 'missing', ('b', 'a'))
    with pytest.raises(CheckpointError, match='2 weights of the model are missing or of another shape, first a'):
        read_network(Network, tmp_path)


def test_whatever_fails_names_the_folder_and_what_is_expected():
    with pytest.raises(CheckpointError, match=r"broken: KeyError: 'weights' Give a folder\."):
        read_pretrained(Network, 'broken', 'Give a folder.')


@pytest.mark.parametrize(('content', 'message'), [(None, 'no config.json here'), ('{', 'cannot be read as JSON'),
                                                  ('[1]', 'found list, expected options')])
def test_configs_are_checked(tmp_path, content, message):
    if content is not None:
        (tmp_path / 'config.json').write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)
    (tmp_path / 'config.json').write_text('{"a": 1}')
    assert read_config(tmp_path) == {'a': 1}
