import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from motionlab.evaluation.functional import pose
from motionlab.evaluation.metrics import MPJPE, TensorMetric
from motionlab.registry import METRICS
from motionlab.utils import ConfigError, DataError

META = dict(clip_actions=['Walk 1', 'Walk_2', 'Sit'], dataset_name='toy')
NAMES = ['MPJPE', 'P-MPJPE', 'N-MPJPE', 'MPJVE', 'PCK@150', 'AUC']


def _predictions(samples: int = 11, seed: int = 0, targets: int = 1) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    target = 0.4 * torch.randn(samples, targets, 17, 3, generator=rng)
    target[..., 0, :] = 0
    clip = torch.arange(samples) * 3 // samples
    first = torch.tensor([(clip < c).sum() for c in range(3)])
    frame = (torch.arange(samples) - first[clip])[:, None] * targets + torch.arange(targets)
    return dict(sample_index=torch.arange(samples), clip_index=clip, frame_index=frame,
                target_m=target + torch.tensor([0.5, 0.2, 4.0]),
                target_visible=torch.rand(samples, targets, 17, generator=rng) > 0.1,
                pred_m=target + 0.1 * torch.randn(target.shape, generator=rng))


def _evaluate(predictions: dict[str, torch.Tensor], size: int | None = None, batch: int = 4, **kwargs) -> dict:
    metric = METRICS.build(dict(type='MPJPE', **kwargs))
    metric.dataset_meta = META
    rows = len(predictions['sample_index'])
    for start in range(0, rows, batch):
        metric.process({}, {key: value[start:start + batch] for key, value in predictions.items()})
    return metric.evaluate(rows if size is None else size)


@pytest.mark.parametrize('targets', [1, 3])
def test_frame_wise_values_are_the_functions_in_millimetres(targets):
    predictions = _predictions(targets=targets)
    found = _evaluate(predictions)
    pred = predictions['pred_m'].flatten(0, 1)
    target = (predictions['target_m'] - predictions['target_m'][:, :, :1]).flatten(0, 1)
    visible = predictions['target_visible'].flatten(0, 1)
    clip = predictions['clip_index'].repeat_interleave(targets)
    frame = predictions['frame_index'].flatten()
    errors = pose.joint_errors(pred, target)
    expected = {'MPJPE': 1000 * pose.mpjpe(pred, target, visible),
                'P-MPJPE': 1000 * pose.p_mpjpe(pred, target, visible),
                'N-MPJPE': 1000 * pose.n_mpjpe(pred, target, visible),
                'MPJVE': 1000 * pose.mpjve(pred, target, clip, frame, visible),
                'PCK@150': pose.pck(errors, visible), 'AUC': pose.auc(errors, visible)}
    assert {name: found[name] for name in NAMES} == pytest.approx(expected)
    assert next(iter(found)) == 'MPJPE' and found['P-MPJPE/unaligned'] == 0   # 'auto' picks the first


def test_action_wise_is_the_mean_of_actions():
    predictions = _predictions()
    found = _evaluate(predictions)
    for name in NAMES:
        assert found[f'{name}/action-wise'] == pytest.approx((found[f'{name}/Walk'] + found[f'{name}/Sit']) / 2)
    walking = {key: value[predictions['clip_index'] < 2] for key, value in predictions.items()}
    alone = _evaluate(walking)
    assert {name: alone[name] for name in NAMES} == pytest.approx({name: found[f'{name}/Walk'] for name in NAMES})
    assert found['MPJPE'] != pytest.approx(found['MPJPE/action-wise'])
    assert 'MPJPE/Sit' not in alone and alone['MPJPE/action-wise'] == pytest.approx(alone['MPJPE'])


def test_order_copies_and_batches_do_not_matter():
    predictions = _predictions()
    expected = _evaluate(predictions)
    order = torch.tensor([5, 0, 1, 10, 2, 3, 5, 4, 9, 8, 6, 7, 0])
    found = _evaluate({key: value[order] for key, value in predictions.items()}, size=11, batch=5)
    assert found == pytest.approx(expected, rel=1e-12)


def test_missing_samples_are_an_error():
    with pytest.raises(DataError, match='found 11 distinct samples, expected 12'):
        _evaluate(_predictions(), size=12)


def test_missing_keys_are_named():
    predictions = _predictions()
    del predictions['frame_index']
    with pytest.raises(ConfigError, match='MPJPE needs frame_index'):
        _evaluate(predictions)


def test_no_neighbouring_frames_leave_velocity_out():
    predictions = _predictions()
    predictions['frame_index'] = predictions['frame_index'] * 5
    found = _evaluate(predictions)
    assert not [name for name in found if name.startswith('MPJVE')] and 'MPJPE' in found


def test_points_are_counted_and_aligned_over_what_the_config_says():
    predictions = _predictions()
    predictions['pred_m'][2] = 0
    assert _evaluate(predictions)['P-MPJPE/unaligned'] == 1
    hidden = ~predictions['target_visible'][..., None]
    hidden[:, :, 0] = False
    moved = {**predictions, 'target_m': torch.where(hidden, 50.0, predictions['target_m'])}
    names = ['P-MPJPE', 'N-MPJPE', 'MPJPE', 'MPJVE', 'AUC']
    before, after = (_evaluate(each, align_over='visible') for each in (predictions, moved))
    assert [after[name] for name in names] == pytest.approx([before[name] for name in names])
    assert _evaluate(moved)['P-MPJPE'] > 1.5 * before['P-MPJPE']
    with pytest.raises(ConfigError, match='align_over'):
        MPJPE(align_over='seen')


def test_name_of_the_seed_and_prefix():
    metric = METRICS.build(dict(type='SimpleMeanMetric', prefix='toy'))
    assert isinstance(metric, MPJPE)
    metric.process({}, _predictions())
    found = metric.evaluate(11)
    assert 'toy/MPJPE' in found and 'toy/MPJPE/action-wise' not in found      # without metainfo there are no actions
    with pytest.raises(DataError, match='found 0 distinct'):                  # nothing is carried over
        metric.evaluate(11)


def test_same_as_mmpose(shared_dir):
    data = np.load(shared_dir / 'reference/auglift/metrics_losses.npz', allow_pickle=False)
    stems = [name.split('/')[1].split('_')[1].split('.')[0] for name in data['img_names']]
    actions = sorted(set(stems))
    gt = torch.from_numpy(data['gt'])[:, None]
    metric = MPJPE()
    metric.dataset_meta = dict(clip_actions=actions)
    metric.process({}, dict(
        sample_index=torch.arange(12), clip_index=torch.tensor([actions.index(s) for s in stems]),
        frame_index=torch.arange(12)[:, None], target_m=gt, target_visible=torch.from_numpy(data['mask'])[:, None],
        pred_m=torch.from_numpy(data['pred'])[:, None] - gt[:, :, :1]))
    found = metric.evaluate(12)
    for name in ('MPJPE', 'P-MPJPE'):
        assert found[name] == pytest.approx(1000 * float(data[f'metric/{name}']), abs=1e-6)
        for action in actions:
            assert found[f'{name}/{action}'] == pytest.approx(1000 * float(data[f'metric/{name}_{action}']), abs=1e-6)


class _Sum(TensorMetric):
    needed = ('value',)

    def compute_metrics(self, results):
        assert results['sample_index'].tolist() == list(range(len(results['value'])))
        return {'sum': results['value'].sum().item()}


def _evaluate_on_a_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    answers = {}
    predictions = _predictions()
    # 11 samples on 2 ranks: rank 1 gets sample 0 again, as a sampler pads it.
    mine = torch.cat([torch.arange(11), torch.tensor([0])])[rank::2]
    metric = MPJPE()
    metric.dataset_meta = META
    for rows in mine.split(4):
        metric.process({}, {key: value[rows] for key, value in predictions.items()})
    answers['mpjpe'] = metric.evaluate(11)
    alone = _Sum()
    if rank == 1:                                             # one sample for two ranks: rank 0 saw nothing
        alone.process({}, dict(sample_index=torch.zeros(1, dtype=torch.long), value=torch.tensor([5.0])))
    answers['alone'] = alone.evaluate(1)
    short = _Sum()
    short.process({}, dict(sample_index=torch.tensor([rank]), value=torch.tensor([1.0])))
    try:
        short.evaluate(3)
    except DataError as error:
        answers['short'] = str(error)
    torch.save(answers, f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_count_every_sample_once(tmp_path):
    mp.spawn(_evaluate_on_a_rank, (str(tmp_path),), nprocs=2)
    expected = _evaluate(_predictions())
    for rank in range(2):
        answers = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert answers['mpjpe'] == pytest.approx(expected, rel=1e-12)
        assert answers['alone'] == {'sum': 5.0}
        assert 'found 2 distinct samples, expected 3' in answers['short']
