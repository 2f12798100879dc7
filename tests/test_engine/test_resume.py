"""Stopping anywhere and going on gives what never stopping gives, bit for bit."""

import pytest
import torch

from tests.test_engine.toy import assert_same_run, config, load, stop_and_resume, train

EPOCHS, ITERS = 4, 20


@pytest.fixture(scope='module')
def whole_epochs(tmp_path_factory):
    path = tmp_path_factory.mktemp('epochs')
    train(config(path, epochs=EPOCHS))
    return path


@pytest.fixture(scope='module')
def whole_iters(tmp_path_factory):
    path = tmp_path_factory.mktemp('iters')
    train(config(path, iters=ITERS))
    return path


# Epochs have 6 iterations and are validated; odd stops fall into a gradient accumulation, 1 into the warm-up and 3
# before the average of the weights begins.
@pytest.mark.parametrize('stops', [(1,), (2,), (3,), (5,), (6,), (7,), (12,), (15,), (23,), (2, 3, 11, 18)])
def test_epoch_loop_resumes_at_any_iteration(whole_epochs, tmp_path, stops):
    stop_and_resume(config(tmp_path, epochs=EPOCHS), *stops)
    assert_same_run(whole_epochs, tmp_path, 'epoch_4.pth')


# Validation every 5 iterations, passes over the data end within batches.
@pytest.mark.parametrize('stops', [(1,), (4,), (5,), (6,), (13,), (19,), (3, 5, 17)])
def test_iter_loop_resumes_at_any_iteration(whole_iters, tmp_path, stops):
    stop_and_resume(config(tmp_path, iters=ITERS), *stops)
    assert_same_run(whole_iters, tmp_path, 'iter_20.pth')


@pytest.mark.parametrize('stop', [3, 12])
def test_worker_processes_change_nothing(whole_epochs, tmp_path, stop):
    stop_and_resume(config(tmp_path, epochs=EPOCHS, workers=2), stop)
    assert_same_run(whole_epochs, tmp_path, 'epoch_4.pth')


def test_iter_loop_with_worker_processes(whole_iters, tmp_path):
    stop_and_resume(config(tmp_path, iters=ITERS, workers=2), 7)
    assert_same_run(whole_iters, tmp_path, 'iter_20.pth')


def test_a_finished_run_resumes_to_itself(whole_epochs, tmp_path):
    train(config(tmp_path, epochs=EPOCHS))
    before = (tmp_path / 'epoch_4.pth').read_bytes()
    cfg = config(tmp_path, epochs=EPOCHS)
    cfg.resume = True
    resumed = train(cfg)
    assert resumed.iter == 24
    assert (tmp_path / 'epoch_4.pth').read_bytes() == before
    assert_same_run(whole_epochs, tmp_path, 'epoch_4.pth')


def test_seed_drawn_by_the_first_run_is_kept(tmp_path):
    cfg = config(tmp_path, epochs=2)
    cfg.randomness = dict(seed=None)
    resumed = stop_and_resume(cfg, 7)
    drawn = load(tmp_path / 'epoch_1.pth')['meta']['seed']
    assert load(tmp_path / 'epoch_2.pth')['meta']['seed'] == drawn
    assert resumed.train_loop.stream.sampler.seed == drawn


def test_skipped_batches_are_not_read(tmp_path):
    resumed = stop_and_resume(config(tmp_path, iters=ITERS), 17)
    assert resumed.train_dataloader.dataset.reads == 3


def test_gradients_in_the_middle_of_an_accumulation_are_saved(tmp_path):
    stop_and_resume(config(tmp_path, epochs=1), 3, 4)
    assert 'accumulated_grads' in load(tmp_path / 'iter_3.pth')
    assert 'accumulated_grads' not in load(tmp_path / 'iter_4.pth')


@pytest.mark.parametrize('by_epoch', [False, True])
def test_a_longer_run_follows_the_new_schedule(tmp_path, by_epoch):
    def cfg(name, epochs):
        made = config(tmp_path / name, epochs=epochs, ema=False)
        if by_epoch:
            made.param_scheduler[1].update(by_epoch=True, begin=1, end=epochs, T_max=epochs - 1)
        made.log_level = 'WARNING'
        return made

    train(cfg('whole', 4))
    train(cfg('longer', 2))
    longer = cfg('longer', 4)
    longer.resume = True
    resumed = train(longer)

    whole, longer = load(tmp_path / 'whole' / 'epoch_4.pth'), load(tmp_path / 'longer' / 'epoch_4.pth')
    assert longer['param_schedulers'] == whole['param_schedulers']
    one, other = (load(tmp_path / name / 'epoch_3.pth')['optimizer']['param_groups'] for name in ('whole', 'longer'))
    assert one[0]['lr'] == other[0]['lr'] > 0.001
    log = next(p for p in (tmp_path / 'longer' / 'logs').glob(f'{resumed.timestamp}*.log')).read_text()
    assert 'T_max 1 -> 3' in log if by_epoch else 'T_max 12 -> 24' in log


def test_a_changed_learning_rate_is_reported_and_not_followed(tmp_path):
    train(config(tmp_path, epochs=2, ema=False))
    cfg = config(tmp_path, epochs=2, ema=False)
    cfg.resume, cfg.optim_wrapper.optimizer.lr, cfg.log_level = True, 0.5, 'WARNING'
    resumed = train(cfg)
    log = next(p for p in (tmp_path / 'logs').glob(f'{resumed.timestamp}*.log')).read_text()
    assert 'optimizer.lr differs from the checkpoint (0.02 -> 0.5)' in log
    assert resumed.optim_wrapper.param_groups[0]['initial_lr'] == 0.02


def test_another_batch_size_goes_on_with_the_same_data_position(tmp_path):
    cfg = config(tmp_path, epochs=2)
    cfg.custom_hooks.append(dict(type='StopAt', iteration=2))
    train(cfg)
    cfg = config(tmp_path, epochs=2, batch_size=2)
    cfg.resume = True
    resumed = train(cfg)
    # 8 of 22 samples were seen; 7 batches of 2 are left of the first epoch and 11 make the second.
    assert resumed.iter == 2 + 7 + 11


def test_learned_averages_are_in_the_checkpoint(whole_epochs):
    saved = load(whole_epochs / 'epoch_4.pth')
    assert not torch.equal(saved['state_dict']['inner.weight'], saved['raw_state_dict']['inner.weight'])
    assert 'frozen.weight' not in saved['raw_state_dict']
    assert 'norm.running_mean' not in saved['raw_state_dict']
