import json

import pytest

from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_motion_step.py')


def _main(body, *options):
    tool.main([str(body), '--batch-size', '2', '--layers', '1', '--steps', '2', '--warmup', '1', *options])


@pytest.mark.parametrize('order', ['1', '2'])
def test_prints_and_writes_what_it_measures(small_body_file, tmp_path, capsys, order):
    _main(small_body_file, '--json', str(tmp_path / 'f.json'), '--order', order)
    found = json.loads((tmp_path / 'f.json').read_text())
    assert set(found) == {'mesh_s', 'ours_s', 'speedup', 'parts_s', 'kinematics_share', 'largest_difference'}
    share = (found['parts_s']['encoding'] + found['parts_s']['bodies and losses']) / sum(found['parts_s'].values())
    assert found['kinematics_share'] == pytest.approx(share)
    out = capsys.readouterr().out
    assert f'{found["speedup"]:.2f}x' in out and f'{share:.2%} of the step' in out


def test_losses_that_differ_are_an_error(small_body_file, monkeypatch):
    honest = tool.MeshDiffuser.loss

    def wrong(self, *args):
        losses = honest(self, *args)
        return {**losses, 'fk': losses['fk'] * 1.001}

    monkeypatch.setattr(tool.MeshDiffuser, 'loss', wrong)
    with pytest.raises(SystemExit, match=r'losses differ by 1\.\de-03|losses differ by 9\.\de-04'):
        _main(small_body_file)


def test_the_parts_make_the_same_step(small_body_file):
    ours, _ = tool.build_pair(small_body_file, num_layers=1)
    batch = tool.make_batch(2, 16)

    class Keep:
        """An optimizer that only remembers gradients."""

        def step(self):
            self.grads = [param.grad.clone() for param in ours.parameters()]

        def zero_grad(self):
            ours.zero_grad()

    whole, parts = Keep(), Keep()
    tool.seed_iteration(0, 0, 1, 0)
    tool.our_step(ours, whole, batch)
    tool.seed_iteration(0, 0, 1, 0)
    tool.timed_parts(ours, parts, batch)
    for a, b in zip(whole.grads, parts.grads, strict=True):
        tool.torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
