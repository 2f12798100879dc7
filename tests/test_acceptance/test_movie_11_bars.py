import pytest
import torch

from motionlab.apis.layout_evaluation import CONDITIONS, FULL, NO_REFERENCES, evaluate_layouts
from motionlab.datasets.layout_scenes import LayoutSceneDataset, SceneJudge
from tests.layout_models import make_model
from tests.test_tools import load_tool
from tests.test_tools.test_layout_demo import failing_bars, good_reports

FLUX = dict(attention_head_dim=24, axes_dims_rope=(4, 10, 10))
STEPS = 4


def _train(model, captions, steps, lr):
    """As a stage does, from batches of 16 scenes with one object."""
    data, generator = LayoutSceneDataset(512, captions=captions, max_objects=1), torch.Generator().manual_seed(0)
    parameters = [parameter for parameter in model.train().parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr)
    for step in range(steps):
        optimizer.param_groups[0]['lr'] = lr * min(1, (step + 1) / 20) * (1 - step / steps)
        losses = model.loss(data.__getitems__(torch.randint(len(data), (16,), generator=generator).tolist()))
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if name.startswith('loss')).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def test_movie_11_bars():
    """Tiny end-to-end run (section 6) reaches its bars and beats its ablations.

    The run is tools/layout_demo.py, half an hour; here: each of its bars holds and fails where it should.
    """
    demo = load_tool('layout_demo.py')
    failed, titles = failing_bars(demo, good_reports())
    assert not failed and len(titles) == 12
    for change, title in (
            (dict(stage_1=dict(hit=0.4)), 'stage 1: hit'), (dict(stage_1=dict(colour=0.5)), 'stage 1: colour'),
            (dict(stage_1=dict(foreground_iou=0.3)), 'stage 1: foreground iou'),
            (dict(stage_1=dict(similarity=0.85)), 'similarity: stage 2 - stage 1'),
            (dict(control=dict(similarity=0.9)), 'similarity: stage 2 - control')):
        assert title in failing_bars(demo, good_reports(**change))[0], change
    assert failing_bars(demo, good_reports(), {'stage 2': 400, 'control': 300})[0] == [
        'time of the control, of that of stage 2']
    reports = good_reports()
    reports['stage 2'].scores['modulation off'] = reports['stage 2'].scores[FULL]
    assert failing_bars(demo, reports)[0] == ['similarity: modulation on - off']
    reports = good_reports()
    reports['stage 2'].alpha[:] = 0.5
    assert failing_bars(demo, reports)[0] == ['stage 2: alpha by depth']


def test_movie_11_miniature(tmp_path):
    """The same in seconds, with one object and a smaller network: stage 1 puts references where they belong and beats
    its ablations by far, and what follows begins where it ended and knows each ablation.
    """
    base = make_model(0, awake=False, flux=FLUX)
    _train(base, 'base', 60, 4e-3)
    base.backbone.export_base(tmp_path / 'flux')

    def stage(number, **options):
        return make_model(number, awake=False, backbone=dict(
            flux=dict(path=str(tmp_path / 'flux')), lora=dict(rank=16, alpha=16), layout_alpha_weight=0.5),
            head=dict(num_steps=STEPS), alpha_prior=0.05, reference_dropout=0.1, **options)

    scenes, first = LayoutSceneDataset(32, seed=1, max_objects=1), stage(1)
    _train(first, 'shapes', 160, 8e-3)
    report = evaluate_layouts(first, scenes, SceneJudge(first.codec))
    for score in ('box_iou', 'similarity'):
        for condition in (NO_REFERENCES, 'layout off'):
            gain = report.difference(score, FULL, condition)
            assert gain.mean > 3 * gain.error > 0, (score, condition, str(gain))
    alpha = [each.mean for each in report.alpha_by_depth().values() if each.count]
    assert alpha == sorted(alpha, reverse=True)

    third = stage(3)
    left = third.load_state_dict(first.state_dict(), strict=False)
    assert not left.unexpected_keys and {name.split('.')[1] for name in left.missing_keys} == {'modulation_head',
                                                                                               'feedback_bridge'}
    fresh = evaluate_layouts(third, scenes, SceneJudge(third.codec), num_images=4)
    assert list(fresh.scores) == list(CONDITIONS)
    for condition, equal in ((FULL, FULL), ('modulation off', FULL), ('layout off', 'layout off')):
        assert fresh.estimates(condition)['similarity'].mean == pytest.approx(
            evaluate_layouts(first, scenes, SceneJudge(first.codec), conditions=[equal],
                             num_images=4).estimates(equal)['similarity'].mean, abs=1e-4)
