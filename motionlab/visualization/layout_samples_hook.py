"""Images that a model of layouts makes while it is trained, beside those of the data."""

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor

from motionlab.codecs import layout_batch as keys
from motionlab.models.layout_sampling import LayoutOptions, generate_images
from motionlab.models.layout_stages import BASE
from motionlab.registry import HOOKS
from motionlab.utils import ConfigError
from motionlab.visualization.layout_drawing import draw_alpha, draw_comparison, draw_row

FEWEST_SAMPLES = 4


@HOOKS.register_module()
class LayoutSamplesHook(Hook):
    """Every so many steps, and after the last, generates the first samples of the validation set anew.

    To TensorBoard go ``inference/ground_truth`` and ``inference/predicted``, each a row of all samples, and for each
    sample ``inference/comparison_sample_{i}``, both with boxes (red where alpha is at least one half, blue below) and
    alpha, and ``inference/alpha_sample_{i}``, alpha by depth label. Samples and their noise are the same every time;
    the random numbers of training and the modes of the model stay what they are.

    Args:
        interval: In iterations.
        num_samples: At least 4.
        num_steps: Solver steps; None for the model's.
        seed: Of the noise: sample i begins with that of seed + i.

    Raises:
        ConfigError: an argument out of range; at the beginning of training, a validation set without so many samples,
            or none.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, interval: int = 500, num_samples: int = FEWEST_SAMPLES, num_steps: int | None = None,
                 seed: int = 0):
        if interval < 1 or num_samples < FEWEST_SAMPLES:
            raise ConfigError(f'LayoutSamplesHook: found interval={interval}, num_samples={num_samples}; expected at '
                              f'least 1 and {FEWEST_SAMPLES}.')
        self.interval, self.num_samples, self.seed = interval, num_samples, seed
        self.options = LayoutOptions(num_steps=num_steps)
        self._samples: list[dict[str, Tensor]] = []

    def before_train(self, runner) -> None:
        """Read the samples, each as a batch of its own: they may be of different sizes."""
        if runner.val_loop is None:
            raise ConfigError('LayoutSamplesHook: there is no validation set to take samples from: set val_dataloader, '
                              'val_cfg and val_evaluator, or leave this hook out.')
        loader = runner.val_loop.dataloader
        if len(loader.dataset) < self.num_samples:
            raise ConfigError(f'LayoutSamplesHook: found {len(loader.dataset)} validation samples, expected at least '
                              f'{self.num_samples}.')
        self._samples = [loader.collate_fn(loader.dataset.__getitems__([row])) for row in range(self.num_samples)]

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict[str, Tensor] | None = None) -> None:
        """All processes generate, as sharded weights need all of them; the main one writes."""
        step = runner.iter + 1
        if step % self.interval and step != runner.max_iters:
            return
        model = runner.bare_model
        training = model.training
        model.eval()
        try:
            rows = [self._draw(model, sample, self.seed + row) for row, sample in enumerate(self._samples)]
        finally:
            model.train(training)
        if not is_main_process():
            return
        pictures = {'ground_truth': draw_row([row['truth'] for row in rows]),
                    'predicted': draw_row([row['made'] for row in rows])}
        for number, row in enumerate(rows):
            truth, made, boxes, alpha, depth = row.values()
            pictures[f'comparison_sample_{number}'] = draw_comparison(truth, made, boxes, alpha)
            pictures[f'alpha_sample_{number}'] = draw_alpha(made, boxes, alpha, depth)
        for name, picture in pictures.items():
            runner.visualizer.add_image(f'inference/{name}', picture, step=step)

    def _draw(self, model, sample: dict[str, Tensor], seed: int) -> dict[str, np.ndarray]:
        """The image of a sample, the one generated for it, and its references."""
        batch = model.data_preprocessor(sample, training=False)['batch']
        images = batch.get(keys.IMAGES)
        if images is None:
            images = model.codec.to_uint8(model.codec.decode(batch[keys.LATENTS]))
        made = generate_images(model, None if model.stage == BASE else batch, batch[keys.TEXT], batch[keys.POOLED],
                               *images.shape[1:3], self.options, [seed])
        kept = batch[keys.REF_MASK][0] if model.stage != BASE else batch[keys.REF_MASK][0] & False
        alpha = made.alpha[0][kept] if model.stage != BASE else made.alpha[0]
        found = {'truth': images[0], 'made': made.images[0], 'boxes': batch[keys.BOXES][0][kept], 'alpha': alpha,
                 'depth': batch[keys.DEPTH][0][kept]}
        return {name: value.detach().cpu().numpy() for name, value in found.items()}
