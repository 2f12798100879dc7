import json
import sys

import pytest

from motionlab.codecs.pose_prior_batch import TERMS
from tests.pose_priors import DEMO, write_pose_splits
from tests.test_tools import load_tool


@pytest.mark.parametrize('seed', [100, 1])
def test_vposer_09_untrained(seed, full_body_file, tmp_path, monkeypatch, capfd):
    """An untrained model evaluates to KL 3.2-3.9 and geo 1.9-2.4 and is labelled UNTRAINED.

    On a body of published size the distances come out as the published ones of untrained weights do.
    """
    tool = load_tool('test.py')
    data = write_pose_splits(tmp_path / 'data', {'vald': 64, 'test': 32})
    options = [f'model.body.path={full_body_file}', 'model.backbone.num_neurons=512', f'randomness.seed={seed}',
               'default_hooks.visualization=None',
               *(f'test_dataloader.{i}.dataset.data_root={data}' for i in range(2))]
    monkeypatch.setattr(sys, 'argv', ['test.py', str(DEMO), '--untrained', '--work-dir', str(tmp_path / 'w'), '--out',
                                      str(tmp_path / 'm.json'), '--cfg-options', *options])
    tool.main()
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert all(name.startswith('UNTRAINED/') for name in metrics)
    for name, count in (('vald', 64), ('test', 32)):
        found = {term: metrics[f'UNTRAINED/{name}/{term}'] for term in (*TERMS, 'num_samples')}
        assert 3.2 < found['kl'] < 3.9 and 1.9 < found['geo'] < 2.4
        assert 0.40 < found['v2v_sampled'] < 0.60 and 0.20 < found['v2v_l1'] < 0.30 and 0.20 < found['jtr_l1'] < 0.35
        assert 1.8 < found['v2v_sampled'] / found['v2v_l1'] < 2.2
        assert found['num_samples'] == count
    log = ''.join(path.read_text() for path in (tmp_path / 'w/logs').glob('*.log'))
    assert 'WARNING - UNTRAINED: no checkpoint is given' in log and 'UNTRAINED/vald/kl: 3.' in log
    saved, = (json.loads(path.read_text()) for path in (tmp_path / 'w/logs').glob('2*.json'))
    assert saved['UNTRAINED/vald/kl'] == metrics['UNTRAINED/vald/kl']
    assert f'UNTRAINED: fresh weights of seed {seed}' in capfd.readouterr().out


def test_vposer_09_must_be_asked_for(capsys):
    """Evaluation without a checkpoint must be requested."""
    tool = load_tool('test.py')
    for arguments, message in (([], 'or --untrained'), (['x.pth', '--untrained'], 'not allowed with a checkpoint')):
        with pytest.raises(SystemExit):
            tool.parse_args([str(DEMO), *arguments])
        assert message in capsys.readouterr().err
