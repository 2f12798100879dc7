"""Tables that compare dumped predictions of several lifters on the same frames."""

import json

import numpy as np
import pytest
import torch

from motionlab.evaluation.metrics.lifting_dump import load_dump
from motionlab.registry import METRICS
from motionlab.utils import ConfigError, DataError
from tests.synthetic import write_lifting_annotation
from tests.test_evaluation.predictions import META, evaluate, make_predictions
from tests.test_tools import load_tool

tool = load_tool('analysis_tools/analyze_lifting.py')


def _dump(path, sets):
    """Write the predictions of every set as tools/test.py --dump does."""
    metric = METRICS.build(dict(type='DumpPredictions', out_file=path))
    for name, predictions in sets.items():
        metric.dataset_meta = {**META, 'dataset_name': name}
        metric.process({}, predictions)
        metric.evaluate(len(predictions['sample_index']))
    return path


@pytest.fixture
def dumps(tmp_path):
    sets = {name: make_predictions(samples=40, seed=seed) for name, seed in (('easy', 0), ('hard', 1))}
    better = {}
    for name, each in sets.items():
        truth = each['target_m'] - each['target_m'][:, :, :1]
        better[name] = {**each, 'pred_m': truth + 0.5 * (each['pred_m'] - truth)}
    return _dump(tmp_path / 'xy.npz', sets), _dump(tmp_path / 'xycd.npz', better), sets


def test_tables_agree_with_the_metrics_and_say_the_change(dumps, tmp_path, capsys):
    write_lifting_annotation(tmp_path, 'train', clips=2, frames=30)
    xy, xycd, sets = dumps
    arguments = [str(xy), f'ours={xycd}', '--training-set', str(tmp_path / 'train.npz'), '--centres',
                 str(tmp_path / 'centres.npz')]
    assert tool.main([*arguments, '--out', str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out
    assert 'easy: MPJPE, mm' in printed and 'ours: change %' in printed and 'novelty Q4' in printed

    found = json.loads((tmp_path / 'out' / 'analysis.json').read_text())
    assert set(found) == {'easy', 'hard'} and (tmp_path / 'out' / 'analysis.png').stat().st_size > 10000
    for name, predictions in sets.items():
        breakdown = evaluate(predictions, None, type='PoseBreakdown', by=['occlusion', 'novelty', 'confidence'],
                             training_set=str(tmp_path / 'centres.npz'))
        cells = found[name]['MPJPE']
        for key, value in breakdown.items():
            if key not in ('occlusion/share', 'novelty/mean'):
                row = cells[key.replace('/', ' ')]
                assert row['values']['xy'] == pytest.approx(value)
                assert row['values']['ours'] == pytest.approx(value / 2, rel=1e-4)
                assert row['change_percent'] == {'ours': pytest.approx(-50, abs=0.01)}
        assert cells['all']['count'] == int(predictions['target_visible'].sum())
        assert cells['all']['count'] == sum(cells[f'occlusion {label}']['count'] for label in ('visible', 'occluded'))
        order = evaluate(predictions, None, type='DepthOrderAccuracy')
        assert {key: row['values']['xy'] for key, row in found[name]['depth order'].items()} == pytest.approx(order)
        depth = (predictions['pred_m'] - predictions['target_m'] + predictions['target_m'][:, :, :1])[..., 2].abs()
        assert found[name]['depth error']['all']['values']['xy'] == pytest.approx(
            1000 * depth[predictions['target_visible']].mean().item(), rel=1e-4)

    assert tool.main([str(xy), '--centres', str(tmp_path / 'centres.npz')]) == 0       # one model, centres read
    assert 'novelty Q4' in capsys.readouterr().out
    with pytest.raises(ConfigError, match="'camera'"):
        tool.main([str(xy), '--centres', str(tmp_path / 'centres.npz'), '--novelty-frame', 'body'])


def test_order_of_samples_does_not_matter(dumps, tmp_path, capsys):
    xy, _, sets = dumps
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    shuffled = {name: {**{key: value[order] for key, value in each.items()}, 'sample_index': torch.arange(40)}
                for name, each in sets.items()}
    models = tool.load_models([str(xy), f'again={_dump(tmp_path / "shuffled.npz", shuffled)}'])
    for name in sets:
        torch.testing.assert_close(models['again'][name].rows.pred, models['xy'][name].rows.pred, rtol=0, atol=0)
    assert tool.main([str(xy), str(tmp_path / 'shuffled.npz')]) == 0
    out = capsys.readouterr().out
    assert 'Novelty is left out' in out and '-50.0' not in out and '+0.0' in out


def _without_last(each):
    return {key: value[:-1] for key, value in each.items()}


def _other_frames(each):
    return {**each, 'frame_index': each['frame_index'] + 1}


def _moved(each):
    return {**each, 'target_m': each['target_m'] + 0.01}


def _hidden(each):
    return {**each, 'target_visible': each['target_visible'] & (torch.arange(17) != 4)}


@pytest.mark.parametrize(('change', 'message'), [
    (_without_last, r'frame: found 39 frames, 0 of them not in .*; 1 are missing, the first .* is clip 2, frame'),
    (_other_frames, r'clip and frame: found 40 frames, 3 of them not in'), (_moved, r'target_m: found .* 0\.01 m off'),
    (_hidden, 'target_visible')])
def test_other_frames_or_truth_are_refused_not_cut(dumps, tmp_path, change, message):
    xy, _, sets = dumps
    _dump(tmp_path / 'other.npz', {name: change(each) for name, each in sets.items()})
    with pytest.raises(DataError, match=message):
        tool.main([str(xy), str(tmp_path / 'other.npz')])


def test_other_sets_and_clips_are_refused(dumps, tmp_path):
    xy, _, sets = dumps
    _dump(tmp_path / 'other.npz', {'easy': sets['easy']})
    with pytest.raises(DataError, match=r"test sets: found \['easy'\]"):
        tool.main([str(xy), str(tmp_path / 'other.npz')])
    with np.load(xy) as file:
        arrays = dict(file)
    arrays['easy/clip_names'] = np.array(['a', 'b', 'c'])
    np.savez(tmp_path / 'clips.npz', **arrays)
    with pytest.raises(DataError, match='easy/clip_names: found 3 clips'):
        tool.main([str(xy), str(tmp_path / 'clips.npz')])
    with pytest.raises(ConfigError, match="second model named 'xy'"):
        tool.main([str(xy), str(xy)])


def test_bad_dumps(dumps, tmp_path):
    with np.load(dumps[0]) as file:
        arrays = dict(file)
    np.savez(tmp_path / 'flat.npz', pred_m=arrays['easy/pred_m'])
    with pytest.raises(DataError, match='keys'):
        load_dump(tmp_path / 'flat.npz')
    np.savez(tmp_path / 'short.npz', **{key: value for key, value in arrays.items() if key != 'hard/clip_index'})
    with pytest.raises(DataError, match="test set 'hard', key clip_index"):
        load_dump(tmp_path / 'short.npz')
    np.savez(tmp_path / 'twice.npz', **{**arrays, 'easy/frame_index': arrays['easy/frame_index'] // 2})
    with pytest.raises(DataError, match='easy: clip 0, frame 0: found a prediction that occurs twice'):
        load_dump(tmp_path / 'twice.npz')
    dumped = load_dump(dumps[0])['hard']
    assert dumped.clip_names.tolist() == META['clip_names'] and dumped.rows.pred.shape == (40, 17, 3)
