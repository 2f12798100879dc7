import json
import pickle
import subprocess

import numpy as np
import pytest
import torch

from motionlab.engine import MotionRunner
from tests.test_tools import TOOLS, load_tool
from tests.test_tools.test_dist import HALF_BATCH, bash, environment
from tests.test_tools.three_sets import SETS, write_three_set_config


def test_auglift_20_two_processes(tmp_path, monkeypatch):
    """dist launch with 2 processes gives the same metrics as 1; no sample counted twice."""
    config = write_three_set_config(tmp_path, epochs=2)
    monkeypatch.chdir(tmp_path)
    two = subprocess.Popen(['bash', TOOLS / 'dist_train.sh', config.name, '2', '--work-dir', 'two', *HALF_BATCH],
                           env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    train = load_tool('train.py')
    cfg = train.build_config(train.parse_args([config.name, '--work-dir', 'one']))
    cfg.test_evaluator = [dict(type='MPJPE'), dict(type='DumpPredictions', out_file='one.pkl')]
    runner = MotionRunner.from_cfg(cfg)
    runner.train()
    output, _ = two.communicate(timeout=300)
    assert two.returncode == 0, output[-3000:]
    logs = [map(json.loads, (tmp_path / name / 'logs' / 'scalars.json').open()) for name in ('one', 'two')]
    validations = [[line['MPJPE'] for line in log if 'MPJPE' in line] for log in logs]
    assert len(validations[0]) == 2
    assert validations[1] == pytest.approx(validations[0], rel=1e-5)

    # 21, 15 and 13 samples in batches of 2 x 4: every set ends in a part of a batch.
    options = [f'test_dataloader.{number}.batch_size=4' for number in range(len(SETS))]
    answer = bash('dist_test.sh', config.name, 'two/epoch_2.pth', '2', '--work-dir', 'tested', '--out', 'two.json',
                  '--dump', 'two.pkl', '--cfg-options', *options, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr[-3000:]
    runner.load_checkpoint('one/epoch_2.pth')
    one = runner.test()
    two = json.loads((tmp_path / 'two.json').read_text())
    assert {key: two[key] for key in one} == pytest.approx(one, rel=1e-5)
    samples = [pickle.loads((tmp_path / f'{name}.pkl').read_bytes()) for name in ('one', 'two')]
    for found in samples:
        counted = [(sample['dataset_name'], int(sample['sample_index'])) for sample in found]
        assert counted == [(name, index) for name, size in SETS.items() for index in range(size)]
    for a, b in zip(*samples):
        np.testing.assert_allclose(a['pred_m'], b['pred_m'], atol=1e-5)
    weights = [torch.load(f'{name}/epoch_2.pth')['state_dict'] for name in ('one', 'two')]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-5, atol=2e-6)
