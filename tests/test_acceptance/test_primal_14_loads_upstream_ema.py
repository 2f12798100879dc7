import pytest
import torch

from motionlab.apis.pretrained import load_pretrained
from motionlab.utils import CheckpointError
from tests.test_apis.primal_files import PlainPrimal, averages, batch, write_lightning


@torch.no_grad()
def test_primal_14_loads_upstream_ema(tmp_path):
    """EMA: used by default at inference; loads upstream ``ema_state_dict``."""
    plain = PlainPrimal()
    averaged = PlainPrimal()
    averaged.load_state_dict(averages(plain), strict=False)
    path = write_lightning(tmp_path / 'last.ckpt', plain.state_dict(), averages(plain))
    x, t, first = batch(plain)
    answers = {}
    for ema, expected in ((True, averaged), (False, plain), (None, averaged)):
        net = load_pretrained('primal', path, num_heads=4, **({} if ema is None else {'ema': ema}))
        answers[ema] = net(x, t, net.embed_seed(first))
        torch.testing.assert_close(answers[ema], expected(x, t, expected.emb_motionseed(first)), atol=1e-5, rtol=1e-5)
    assert torch.equal(answers[True], answers[None]) and (answers[True] - answers[False]).abs().max() > 0.01
    early = write_lightning(tmp_path / 'early.ckpt', plain.state_dict())
    with pytest.raises(CheckpointError, match=r'early\.ckpt: holds no averaged weights.*ema=False'):
        load_pretrained('primal', early, num_heads=4)
