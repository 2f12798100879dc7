import re

import pytest

from motionlab.apis.vposer_yaml import read_vposer_yaml
from motionlab.engine.config import load_config
from motionlab.utils import ConfigError
from tests.conftest import REPO
from tests.test_apis.vposer_files import logged
from tests.test_apis.vposer_yaml_sample import REMOVED, write_yaml
from tests.test_tools import load_tool


def test_vposer_s03_one_typed_config(tmp_path):
    """plain dict config crash, `bm_fname` vs `bm_path`, missing keys -> one typed config; old names accepted with a
    warning; unknown/missing key error lists the valid ones; the published yaml can be imported directly."""
    tool = load_tool('model_converters/import_vposer_config.py')
    present = write_yaml(tmp_path / 'present.yaml', body_model=dict(bm_fname='b.npz'), data_parms__num_timeseq_frames=1)
    old = write_yaml(tmp_path / 'old.yaml', body_model=dict(bm_path='b.npz'), data_parms__num_timeseq_frames=1)
    assert read_vposer_yaml(present).values == read_vposer_yaml(old).values and not read_vposer_yaml(present).warnings
    with logged() as lines:
        tool.main([str(old), str(tmp_path / 'old.py')])
    assert any('body_model.bm_path is the old name of body_model.bm_fname' in line for line in lines)
    assert load_config(tmp_path / 'old.py').model.body.path == 'b.npz'

    for changes, named in ((dict(model_params__num_neuron=3), 'unknown key model_params.num_neuron'),
                           (dict(model_params__latentD=REMOVED), 'missing key model_params.latentD')):
        with pytest.raises(ConfigError, match=rf'{re.escape(named)}; valid in model_params: num_neurons, latentD'):
            read_vposer_yaml(write_yaml(tmp_path / 'x.yaml', **changes))
    with pytest.raises(ConfigError, match=r"batch_size: found 'many', expected a whole number"):
        read_vposer_yaml(write_yaml(tmp_path / 'x.yaml', train_parms__batch_size='many'))

    # Our own configs are checked alike, from a file or a plain dict of overrides.
    ours = REPO / 'configs/pose_prior/vposer-v2_1xb128-100e_amass.py'
    with pytest.raises(ConfigError, match=r"num_neuron.*(num_neurons)"):
        load_config(ours, {'model.backbone.num_neuron': 3})
    with pytest.raises(ConfigError, match=r"did you mean 'model\.body\.path'|takes no argument"):
        load_config(ours, {'model.body.pat': 'b.npz'})
