import math

import numpy as np
import pytest
import torch

from motionlab.evaluation.functional import pose
from motionlab.registry import METRICS


def _close(value: float) -> object:
    return pytest.approx(value, abs=1e-6)


def _functions_equal_every_reference(reference: dict[str, np.ndarray]) -> None:
    """mmpose, VideoPose3D, mmhuman3d and PoseAug; metres and percent."""
    pred, gt, mask = (torch.from_numpy(reference[key]) for key in ('pred', 'gt', 'mask'))
    alignments = {'none': pred, 'procrustes': pose.procrustes_aligned(pred, gt)[0],
                  'scale': pose.scale_aligned(pred, gt)}
    whole = {'none': (pose.mpjpe, 'vp_mpjpe'), 'procrustes': (pose.p_mpjpe, 'vp_p'), 'scale': (pose.n_mpjpe, 'vp_n')}
    for name, aligned in alignments.items():
        function, videopose3d = whole[name]
        assert function(pred, gt, mask) == _close(reference[f'mmpose_{name}'])
        assert function(pred, gt) == _close(reference[f'mmpose_full_{name}']) == _close(reference[videopose3d])
        errors = pose.joint_errors(aligned, gt)
        assert pose.pck(errors, mask) == pytest.approx(reference[f'pck150_{name}'], rel=1e-6)       # recorded in fp32
        assert pose.auc(errors, mask) == _close(reference[f'auc_{name}'])
    assert pose.weighted_mpjpe(pred, gt, torch.from_numpy(reference['w'])) == _close(reference['vp_wmpjpe'])
    assert pose.mpjve(pred, gt) == _close(reference['vp_vel'])
    errors = pose.joint_errors(pred, gt)
    for suffix, joints in (('', 17), ('14', 14)):
        assert pose.pck(errors[:, :joints]) == _close(reference[f'poseaug_pck{suffix}'])
        assert pose.auc(errors[:, :joints]) == _close(reference[f'poseaug_auc{suffix}'])


def _evaluate(reference: dict[str, np.ndarray], **cfg) -> dict[str, float]:
    """The metric on the recorded poses, relative to their root."""
    pred, gt, mask = (torch.from_numpy(reference[key]) for key in ('pred', 'gt', 'mask'))
    return _run(reference, pred - gt[:, :1], gt, mask, cfg)


def _evaluate_as_recorded(reference: dict[str, np.ndarray], **cfg) -> dict[str, float]:
    """The metric on the recorded poses where they are: the origin becomes the root, a joint that does not count.

    The best scale depends on the origin, and the recorded one of N-MPJPE belongs to poses that are not root-relative.
    """
    pred, gt = (torch.cat([torch.from_numpy(reference[key]), torch.zeros(12, 1, 3)], dim=1) for key in ('pred', 'gt'))
    mask = torch.cat([torch.from_numpy(reference['mask']), torch.zeros(12, 1, dtype=torch.bool)], dim=1)
    return _run(reference, pred, gt, mask, dict(root_index=17, **cfg))


def _run(reference: dict[str, np.ndarray], pred: torch.Tensor, gt: torch.Tensor, mask: torch.Tensor,
         cfg: dict) -> dict[str, float]:
    names = [name.split('/')[1] for name in reference['img_names']]
    clips = sorted(set(names))
    metric = METRICS.build(dict(type='MPJPE', **cfg))
    metric.dataset_meta = dict(clip_names=clips, clip_actions=[clip.split('.')[0].split('_')[1] for clip in clips])
    metric.process({}, dict(
        sample_index=torch.arange(12), clip_index=torch.tensor([clips.index(name) for name in names]),
        frame_index=torch.arange(12)[:, None], target_m=gt[:, None], target_visible=mask[:, None],
        pred_m=pred[:, None]))
    return metric.evaluate(12)


def test_auglift_07_metrics(shared_dir):
    """MPJPE, P-, N-MPJPE, MPJVE, PCK, AUC match reference to 1e-6; frame-wise and action-wise both reported in mm."""
    with np.load(shared_dir / 'reference/auglift/metrics_losses.npz', allow_pickle=False) as file:
        reference = {key: file[key] for key in file.files}
    _functions_equal_every_reference(reference)

    actions = ('Greeting', 'Walking', 'WalkDog')
    for prefix, cfg in (('metric', {}), ('metric_skip_S9_Greeting', dict(skip_list=['S9_Greeting']))):
        found, as_recorded = _evaluate(reference, **cfg), _evaluate_as_recorded(reference, **cfg)
        found.update({key: value for key, value in as_recorded.items() if key.startswith('N-MPJPE')})
        checked = 0
        for key, value in reference.items():
            if key.startswith(f'{prefix}/'):
                name = key.removeprefix(f'{prefix}/').replace('_', '/')                # MPJPE_Greeting
                assert found[name] / 1000 == _close(float(value)), key                 # mmpose gives metres
                checked += 1
        assert checked == (12 if prefix == 'metric' else 4)
        for name in ('MPJPE', 'P-MPJPE', 'N-MPJPE', 'PCK@150', 'AUC'):
            assert found[f'{name}/action-wise'] == _close(math.fsum(found[f'{name}/{a}'] for a in actions) / 3)
            assert found[f'{name}/action-wise'] != pytest.approx(found[name], rel=1e-4)

    one_clip = {**reference, 'img_names': np.array(['S/S1_Walking.1/0.jpg'] * 12), 'mask': np.ones((12, 17), bool)}
    found = _evaluate(one_clip)
    assert found['MPJVE'] / 1000 == _close(reference['vp_vel'])
    assert found['MPJVE/action-wise'] / 1000 == _close(reference['vp_vel'])
    assert found['PCK@150'] == _close(reference['poseaug_pck']) and found['AUC'] == _close(reference['poseaug_auc'])
