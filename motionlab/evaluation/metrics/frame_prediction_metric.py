"""How close predicted frames of a game are to the real ones, with copy-last beside them."""

import torch
from torch import Tensor

from motionlab.codecs.batch_keys import SAMPLE_INDEX
from motionlab.evaluation.functional.frames import (
    SSIM_WINDOW,
    changed_errors,
    changed_pixels,
    frame_mse,
    psnr_of_mse,
    ssim,
)
from motionlab.evaluation.metrics.base import TensorMetric, sample_means
from motionlab.registry import METRICS

_HINT = 'Weights that are not finite give this for every sample.'
_MODEL, _COPY, _CODEC = '', 'copy_last_', 'codec_'  # Put before the names of each one's numbers.


@METRICS.register_module()
class FramePredictionMetric(TensorMetric):
    """PSNR, SSIM and the error on changed pixels of predicted frames, whole frames in [0, 1] against the raw target.

    ``psnr`` (dB, mean over frames, each at most 100), ``psnr_of_mean`` (dB, of the mean squared error over frames),
    ``ssim`` (absent for frames below 11 pixels), ``changed_mse`` and ``changed_psnr`` (over all pixels of all frames in
    which the target differs from the frame before it; absent where nothing changes). The same of showing the last frame
    again with ``copy_last_`` before the name, and ``changed_mse_share``, the error on changed pixels as a share of
    copy-last's. ``codec_psnr``, ``codec_psnr_of_mean`` and ``codec_ssim`` of target frames that have been through the
    codec and nothing else: the ceiling. ``flow_loss`` where the model gives one, ``changed_share`` of pixels, and
    ``num_samples``.

    Args:
        prefix: Put before every name.

    Raises:
        DataError: numbers of a sample are not finite.
    """

    needed = ('frames', 'target', 'last')
    optional = ('reconstruction', 'loss')

    def __init__(self, prefix: str | None = None):
        super().__init__(prefix)

    def process(self, data_batch: dict[str, Tensor], data_samples: dict[str, Tensor]) -> None:
        """Keep a few numbers of every frame instead of frames."""
        super().process(data_batch, data_samples)
        kept = self.results.pop()
        target, changed = kept['target'], changed_pixels(kept['target'], kept['last'])     # (B, H, W, 3), (B, H, W)
        numbers = {SAMPLE_INDEX: kept[SAMPLE_INDEX], 'changed': changed.double().sum(dim=(-2, -1)),
                   'pixels': torch.full((len(target),), float(changed[0].numel()))}
        for name, key in ((_MODEL, 'frames'), (_COPY, 'last'), (_CODEC, 'reconstruction')):
            if key not in kept:
                continue
            numbers[f'{name}mse'] = frame_mse(kept[key], target)
            if name != _CODEC:
                numbers[f'{name}errors'] = changed_errors(kept[key], target, changed)
            if min(target.shape[1:3]) >= SSIM_WINDOW:
                numbers[f'{name}ssim'] = ssim(kept[key], target)
        if 'loss' in kept:
            numbers['flow_loss'] = kept['loss']
        self.results.append(numbers)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Numbers of a whole set; every entry is (N,)."""
        metrics: dict[str, float] = {}
        changed, pixels = results['changed'].sum(), results['pixels'].sum()
        for name in (_MODEL, _COPY, _CODEC):
            if f'{name}mse' not in results:
                continue
            mse = results[f'{name}mse']                                                    # (N,)
            metrics |= {f'{name}psnr': psnr_of_mse(mse).mean().item(),
                        f'{name}psnr_of_mean': psnr_of_mse(mse.mean()).item()}
            if f'{name}ssim' in results:
                metrics[f'{name}ssim'] = results[f'{name}ssim'].mean().item()
            if changed and f'{name}errors' in results:
                error = results[f'{name}errors'].sum() / changed
                metrics |= {f'{name}changed_mse': error.item(), f'{name}changed_psnr': psnr_of_mse(error).item()}
        if changed:
            metrics['changed_mse_share'] = metrics['changed_mse'] / metrics[f'{_COPY}changed_mse']
        metrics['changed_share'] = (changed / pixels).item()
        losses = [name for name in ('flow_loss',) if name in results]
        return metrics | sample_means(results, losses, 'FramePredictionMetric', _HINT)
