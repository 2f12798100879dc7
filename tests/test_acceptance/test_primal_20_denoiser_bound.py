import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from motionlab.codecs import motion_batch as keys
from motionlab.datasets.motion_window_dataset import MotionWindowDataset
from motionlab.engine.config import load_config
from motionlab.registry import MODELS
from tests.motion_batches import motion_batch
from tests.motion_models import CONFIGS
from tests.motion_stores import write_motion_store

PER_NUMBER = 20  # Multiplications that a core does while it reads and writes one number of a large tensor.
AMASS_HOURS = 45


class CountNumbers(TorchDispatchMode):
    """How many numbers all operations together write, and the longest axis among them."""

    def __init__(self):
        super().__init__()
        self.written, self.longest = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(each, torch.Tensor):
                self.written += each.numel()
                self.longest = max(self.longest, *each.shape, 0)
        return out


def test_primal_20_denoiser_bound(full_body_file):
    """Training step at default size is denoiser-bound: encoding, FK and losses are < 5 % of its arithmetic, no mesh.

    Counted, not timed (tools/analysis_tools/benchmark_motion_step.py times it): one number written by the kinematics
    costs as much as PER_NUMBER multiplications of the network.
    """
    model = MODELS.build(load_config(CONFIGS / 'primal-velocity_1xb256-30000e_amass.py',
                                     {'model.codec.body.path': str(full_body_file)}).model)
    model.load_body()
    batch = motion_batch(4, 16)
    with FlopCounterMode(display=False) as step:
        model.loss(batch)['loss'].backward()
    with CountNumbers() as kinematics:
        encoded = model.codec.encode(batch)
        pred = torch.zeros_like(encoded['inputs']).normal_().requires_grad_()
        points = model.codec.body_points(pred, batch[keys.BETAS])
        terms = model.head.terms(pred, encoded['inputs'], points, encoded[keys.JOINTS], encoded[keys.VELOCITY], 1.0)
        model.head.loss(terms)['loss'].backward()
    assert 1000 < kinematics.longest < 10475  # No axis of vertices anywhere.
    assert PER_NUMBER * kinematics.written < 0.05 * step.get_total_flops() / 2
    assert model.codec.body.num_vertices == 0


def test_primal_20_loader_memory(tmp_path):
    """Loader keeps AMASS at 30 fps in < 2 GB: float32 trans, root and pose only, mapped and not read."""
    data = MotionWindowDataset(write_motion_store(tmp_path / 'train.npz', (400, 600)))
    frames = data.store.frames
    assert all(isinstance(array.base, np.memmap) or isinstance(array, np.memmap) for array in frames.values())
    per_frame = sum(array.nbytes for array in frames.values()) / 1000
    assert per_frame == 4 * 69 and per_frame * AMASS_HOURS * 3600 * 30 < 2e9
