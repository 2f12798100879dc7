"""Which checkpoints may follow each other in the stages of layout generation."""

import pytest

from motionlab.engine.checkpoint import write_checkpoint
from motionlab.engine.hooks.layout_stage_hook import is_new
from motionlab.utils import CheckpointError, ConfigError
from tests.stage_runs import last_checkpoint, stage_config, train_stage
from tests.test_engine.toy import config, load, train

pytest.importorskip('peft')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Folder with stage 1 and 2, two steps each."""
    folder = tmp_path_factory.mktemp('stages')
    for stage in (1, 2):
        train_stage(folder, stage, steps=2)
    return folder


def test_checkpoints_say_their_stage(trained):
    for stage in (1, 2):
        meta = load(last_checkpoint(trained, stage))['meta']
        assert (meta['stage'], meta['optimizer_steps'], meta['total_steps']) == (stage, 2, 2)


def test_steps_are_the_optimizers(tmp_path):
    cfg = stage_config(tmp_path, 1, steps=4, accumulate=2)
    cfg.train_cfg.optimizer_steps = False  # An iteration is a batch then.
    train(cfg)
    meta = load(tmp_path / 'stage1/iter_4.pth')['meta']
    assert (meta['optimizer_steps'], meta['total_steps'], meta['iter']) == (2, 2, 4)


@pytest.mark.parametrize('stage', [2, 3])
def test_later_stages_do_not_begin_with_nothing(tmp_path, stage):
    with pytest.raises(ConfigError, match=f'begins with the weights of stage {stage - 1}, and there are none'):
        train(stage_config(tmp_path, stage))


@pytest.mark.parametrize(('stage', 'found'), [(3, 1), (1, 2), (2, 2), (1, 1)])
def test_a_stage_begins_with_the_one_before(trained, tmp_path, stage, found):
    cfg = stage_config(tmp_path, stage, load_from=str(last_checkpoint(trained, found)))
    with pytest.raises(CheckpointError, match=f'is of stage {found}, expected stage {stage - 1}'):
        train(cfg)


def test_a_run_resumes_its_own_stage(trained, tmp_path):
    cfg = stage_config(tmp_path, 2, load_from=str(last_checkpoint(trained, 1)), resume=True)
    with pytest.raises(CheckpointError, match='of stage 1, this run of stage 2'):
        train(cfg)


def test_a_control_goes_on_with_its_stage(trained, tmp_path):
    cfg = stage_config(tmp_path, 1, steps=1, load_from=str(last_checkpoint(trained, 1)))
    cfg.custom_hooks[0].begins_after = 1
    assert train(cfg).iter == 1
    wrong = stage_config(tmp_path / 'wrong', 1, load_from=str(last_checkpoint(trained, 2)))
    wrong.custom_hooks[0].begins_after = 1
    with pytest.raises(CheckpointError, match='expected stage 1'):
        train(wrong)


def test_no_module_is_dropped_and_none_begins_anew(trained, tmp_path):
    before = str(last_checkpoint(trained, 2))
    without_lora = stage_config(tmp_path / 'a', 3, load_from=before, model=dict(backbone=dict(lora=None)))
    with pytest.raises(CheckpointError, match=r'has, and this model lacks, 18 weights.*lora_A'):
        train(without_lora)
    weights = load(before)
    removed = [name for name in weights['state_dict'] if '.modulation_head.' in name]
    write_checkpoint({**weights, 'state_dict': {name: value for name, value in weights['state_dict'].items()
                                                if name not in removed}}, tmp_path / 'less.pth')
    with pytest.raises(CheckpointError, match=f'lacks {len(removed)} weights: backbone.modulation_head'):
        train(stage_config(tmp_path / 'b', 3, load_from=str(tmp_path / 'less.pth')))


@pytest.mark.parametrize(('name', 'first'), [
    ('backbone.alpha_predictor.fc1.weight', 1), ('backbone.flux.x.to_q.lora_A.default.weight', 1),
    ('backbone.modulation_head.shared_mlp.0.weight', 2), ('backbone.feedback_bridge.projections.weight', 3)])
def test_modules_are_new_in_one_stage(name, first):
    assert [stage for stage in (1, 2, 3) if is_new(name, stage)] == [first]


def test_other_models_have_no_stages(tmp_path):
    cfg = config(tmp_path, iters=6, ema=False)
    cfg.custom_hooks = [dict(type='LayoutStageHook')]
    with pytest.raises(ConfigError, match='found a ToyModel, expected a LayoutDiffuser'):
        train(cfg)
