"""Made-up motion in the batch of the motion-generation family, and the recorded answers of the original."""

from pathlib import Path

import pytest
import torch

from motionlab.body import BodyModel, load_body


def motion_batch(size: int = 2, frames: int = 16, seed: int = 0, num_betas: int = 16,
                 dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Smooth walks of upright people of different shapes, each facing elsewhere."""
    generator = torch.Generator().manual_seed(seed)

    def smooth(width: int, amount: float) -> torch.Tensor:
        phase = torch.rand(size, 1, width, generator=generator, dtype=torch.float64) * 6.28
        time = torch.arange(frames, dtype=torch.float64)[None, :, None] / 30
        return amount * torch.sin(6 * time + phase)  # (B, T, width)

    heading = torch.rand(size, 1, 1, generator=generator, dtype=torch.float64) * 6.28
    time = torch.arange(frames, dtype=torch.float64)[None, :, None] / 30
    place = torch.randn(size, 1, 3, generator=generator, dtype=torch.float64)
    root = smooth(3, 0.1) + heading * torch.tensor([0., 1., 0.], dtype=torch.float64)
    batch = {'trans': place + 1.3 * time * torch.cat([heading.sin(), 0 * heading, heading.cos()], -1) + smooth(3, 0.02),
             'root_orient': root, 'pose_body': smooth(63, 0.3),
             'betas': torch.randn(size, num_betas, generator=generator, dtype=torch.float64)}
    return {key: value.to(dtype) for key, value in batch.items()}


def recorded_motion(vectors: torch.Tensor, betas: torch.Tensor) -> dict[str, torch.Tensor]:
    """A batch of recorded body vectors (B, T, 69) and betas (B, T, n)."""
    return {'trans': vectors[..., :3], 'root_orient': vectors[..., 3:6], 'pose_body': vectors[..., 6:],
            'betas': betas[:, 0]}


def recorded_tensors(shared_dir: Path, name: str) -> dict:
    """What ``reference/primal/<name>.pt`` holds; skips the test where the file is absent."""
    path = shared_dir / f'reference/primal/{name}.pt'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    return torch.load(path, weights_only=True)


def recorded_body(shared_dir: Path) -> BodyModel:
    """The body of the recorded answers: 16 of its 20 shape columns are used."""
    path = shared_dir / 'reference/primal/body_synth.npz'
    if not path.is_file():
        pytest.skip(f'{path} is absent')
    return load_body(path, num_betas=16, num_shape_columns=20)
