"""Images of layouts, as many as asked for, batch by batch."""

from collections.abc import Mapping, Sequence

import torch
from rich.progress import Progress
from torch import Tensor

from motionlab.apis.pose_prior import evaluating
from motionlab.codecs import layout_batch as keys
from motionlab.models.layout_diffuser import LayoutDiffuser
from motionlab.models.layout_sampling import LayoutImages, LayoutOptions, generate_images
from motionlab.utils import ConfigError
from motionlab.utils.random import derive_seed

_SEED_BITS = 32  # torch's generator takes no more.


@torch.no_grad()
def generate_layouts(model: LayoutDiffuser, batch: Mapping[str, Tensor], height: int, width: int, *,
                     options: LayoutOptions | None = None, seeds: Sequence[int] | None = None, references: bool = True,
                     batch_size: int = 32, show_progress: str = '') -> LayoutImages:
    """Images of the rows of a batch.

    Args:
        model: Any mode; it has the same one afterwards.
        batch: Keys of :mod:`motionlab.codecs.layout_batch`; latents and pictures are not looked at.
        height: Of the images in px.
        width: Likewise.
        options: Steps, seed, scales.
        seeds: (B,) of the noise; by default the options' for the first row, the next for the second, and so on. A row
            does not depend on the rows beside it.
        references: False leaves all of them out.
        batch_size: Rows at once.
        show_progress: Title of a progress bar; none without.

    Returns:
        Everything on the CPU.

    Raises:
        ConfigError: no row at once, or references for a network that takes none.
        DataError: the batch is malformed, a size that cannot be packed, or what is made is not finite.
    """
    if batch_size < 1:
        raise ConfigError(f'generate_layouts: found batch_size={batch_size}, expected at least 1.')
    options = options or LayoutOptions()
    told = {key: value for key, value in batch.items() if key not in (keys.LATENTS, keys.IMAGES)}
    keys.check_layout_batch(told)
    device, size = next(model.parameters()).device, len(told[keys.TEXT])
    seeds = [options.seed + row for row in range(size)] if seeds is None else list(seeds)
    made = []
    with evaluating(model), Progress(disable=not show_progress, transient=True) as progress:
        task = progress.add_task(show_progress, total=size)
        for first in range(0, size, batch_size):
            rows = slice(first, first + batch_size)
            own = {key: value[rows].to(device) for key, value in told.items()}
            found = generate_images(model, own if references else None, own[keys.TEXT], own[keys.POOLED], height, width,
                                    options, seeds[rows])
            made.append([found.images.cpu(), found.latents.cpu(), found.alpha.cpu()])
            progress.advance(task, len(found.images))
    return LayoutImages(*(torch.cat(part) for part in zip(*made)))


def sample_seeds(seed: int, samples: Sequence[int]) -> list[int]:
    """Seeds of noise that belong to samples of a data set, whatever else is made beside them."""
    return [derive_seed(8, seed, int(sample)) % 2**_SEED_BITS for sample in samples]
