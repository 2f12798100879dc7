import pytest
import torch

from motionlab.engine import MotionRunner
from motionlab.registry import UnknownComponentError
from tests.test_engine.toy import loader


def test_whole_batches_pass_through_by_default():
    cfg = loader(size=6, shuffle=False)
    del cfg['collate_fn']
    batches = list(MotionRunner.build_dataloader(cfg, seed=0))
    assert [batch['sample_index'].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5]]
    assert batches[0]['x'].shape == (4, 4) and batches[0]['x'].dtype is torch.float32


def test_worker_options_do_not_forbid_having_no_workers():
    cfg = loader(size=6) | dict(persistent_workers=True, prefetch_factor=4)
    assert len(list(MotionRunner.build_dataloader(cfg, seed=0))) == 2


def test_an_unknown_collate_function_is_named():
    with pytest.raises(UnknownComponentError, match=r"'toy_colate' is not in registry.*toy_collate"):
        MotionRunner.build_dataloader(loader() | dict(collate_fn=dict(type='toy_colate')), seed=0)
