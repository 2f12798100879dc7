"""What the training of layout generation reports, under fixed names."""

from collections import defaultdict
from collections.abc import Mapping

import torch
from mmengine.dist import all_gather_object, all_reduce, is_distributed, is_main_process
from mmengine.hooks import Hook
from torch import Tensor, nn

from motionlab.registry import HOOKS
from motionlab.utils import ConfigError

SCALARS = {  # Names in what the model's loss gives -> tags.
    'loss': ('loss/total',),
    'loss_flow': ('loss/flow_matching', 'loss/reconstruction'),  # The second is the first by its older name.
    'loss_alpha': ('loss/alpha_prior',),
    'identity': ('loss/dino_identity',),
    'timestep_mean': ('metrics/timestep_mean',),
}
MEANS = {  # Names in what the model has observed, a value of each reference -> tags.
    'alpha': 'metrics/alpha_mean',
    'similarity': 'metrics/dino_similarity_mean',
    'feedback': 'metrics/feedback_magnitude',
}
WEIGHTED, SPREAD = 'loss/dino_identity_weighted', 'metrics/alpha_spread'
FOREGROUND = 'metrics/alpha_fg_ratio'
RATE, LORA_RATE, NORM = 'metrics/learning_rate', 'metrics/learning_rate_lora', 'metrics/grad_norm'
GRAD_RATIO, MODULE_NORM = 'debug/trainable_with_grad_ratio', 'debug/grad_norm_{}'
HISTOGRAMS = {'alpha': 'metrics/alpha_distribution', 'timesteps': 'metrics/timesteps'}
LORA = 'lora'


@HOOKS.register_module()
class LayoutScalarsHook(Hook):
    """Writes the scalars and histograms of :class:`motionlab.models.LayoutDiffuser` to TensorBoard.

    Losses are means over the iterations since the last time; what is said of references are means over all of them
    since then, of every accumulated batch and process, and is left out where there was none. Learning rates and norms
    of gradients (before clipping) are those of the iteration at hand. ``loss/reconstruction`` is an alias of
    ``loss/flow_matching``. Where the identity loss has no weight it is measured at that iteration, without gradient.
    Nothing draws random numbers.

    Args:
        interval: In iterations; the last one is reported too.

    Raises:
        ConfigError: an interval below 1.
    """

    priority = 'NORMAL'  # Before schedules step.

    def __init__(self, interval: int = 100):
        if interval < 1:
            raise ConfigError(f'LayoutScalarsHook: found interval={interval}, expected at least 1.')
        self.interval = interval
        self._values: dict[str, list[Tensor]] = defaultdict(list)
        self._observed: dict[str, list[Tensor]] = defaultdict(list)
        self._norms: dict[str, Tensor] = {}
        self._due, self._handles = False, []

    def before_train(self, runner) -> None:
        """Look at gradients right before steps of the optimizer (afterwards they are gone), and at references after
        every batch, of which an iteration may have several."""
        self._handles = [
            runner.optim_wrapper.optimizer.register_step_pre_hook(
                lambda *_: self._look(runner.bare_model) if self._due else None),
            runner.bare_model.register_forward_hook(lambda model, *_: self._observe(model))]

    def release(self, runner) -> None:
        """Training is over, well or not."""
        for handle in self._handles:
            handle.remove()

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Have the identity measured where it is about to be reported."""
        step = runner.iter + 1
        self._due = step % self.interval == 0 or step == runner.max_iters
        runner.bare_model.measure_identity = self._due
        self._norms = {}

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict[str, Tensor] | None = None) -> None:
        """Collect, and report where it is time."""
        for name in SCALARS.keys() & outputs.keys():
            self._values[name].append(outputs[name].detach().float())
        if self._due:
            self._report(runner)

    def _observe(self, model: nn.Module) -> None:
        if model.training:
            for name, value in model.observed.items():
                self._observed[name].append(value.detach().float())

    def _report(self, runner) -> None:
        names = sorted(self._values)
        means = torch.stack([torch.stack(self._values[name]).mean() for name in names])    # (K,)
        if is_distributed():
            all_reduce(means, op='mean')
        found = {tag: value for name, value in zip(names, means.tolist()) for tag in SCALARS[name]}
        if 'loss/dino_identity' in found:
            found[WEIGHTED] = runner.bare_model.identity_weight * found['loss/dino_identity']
        observed = {name: _over_processes(torch.cat(self._observed[name])) for name in sorted(self._observed)}
        found |= {tag: observed[name].mean().item() for name, tag in MEANS.items() if len(observed[name])}
        if len(observed['alpha']):
            found[SPREAD] = observed['alpha'].std(unbiased=False).item()
            found[FOREGROUND] = (observed['alpha'] >= 0.5).float().mean().item()
        found |= self._rates(runner) | self._gradients(runner)
        self._values.clear()
        self._observed.clear()
        writer = _event_writer(runner) if is_main_process() else None
        if writer is None:
            return
        for tag, value in found.items():
            writer.add_scalar(tag, value, runner.iter + 1)
        for name, tag in HISTOGRAMS.items():
            if len(observed[name]):
                writer.add_histogram(tag, observed[name], runner.iter + 1)

    @staticmethod
    def _rates(runner) -> dict[str, float]:
        """Learning rates of heads and LoRA, which may share a group; 0 where a stage trains none."""
        part = {id(parameter): module_of(name) for name, parameter in runner.bare_model.named_parameters()
                if parameter.requires_grad}
        rates: dict[bool, float] = {}
        for group in runner.optim_wrapper.optimizer.param_groups:
            for is_lora in {part[id(parameter)] == LORA for parameter in group['params'] if id(parameter) in part}:
                rates.setdefault(is_lora, group['lr'])
        return {RATE: rates.get(False, 0.0), LORA_RATE: rates.get(True, 0.0)}

    @torch.no_grad()
    def _look(self, model: nn.Module) -> None:
        """Norms of the gradients of all trained parameters, by name, as the optimizer sees them."""
        trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        norms = torch._foreach_norm([parameter.grad.float() for _, parameter in trained if parameter.grad is not None])
        given = iter(norms)
        self._norms = {name: next(given) if parameter.grad is not None else torch.zeros((), device=parameter.device)
                       for name, parameter in trained}

    def _gradients(self, runner) -> dict[str, float]:
        if not self._norms:  # A float16 step that overflowed is left out.
            return {}
        norms = dict(zip(self._norms, torch.stack(list(self._norms.values())).tolist()))
        modules: dict[str, float] = defaultdict(float)
        for name, norm in norms.items():
            modules[module_of(name)] += norm ** 2
        after = sum(modules.values()) ** 0.5
        scalars = runner.message_hub.log_scalars
        before = scalars['train/grad_norm'].current() if 'train/grad_norm' in scalars else after
        undone = before / after if after else 1.0  # Clipping.
        return {NORM: before, GRAD_RATIO: sum(norm > 0 for norm in norms.values()) / len(norms),
                **{MODULE_NORM.format(name): undone * total ** 0.5 for name, total in modules.items()}}


def module_of(name: str) -> str:
    """Part of the backbone that a parameter belongs to: ``lora``, or the name of the module."""
    inner = name.removeprefix('backbone.')
    return LORA if f'.{LORA}_' in inner else inner.partition('.')[0]


def _over_processes(values: Tensor) -> Tensor:
    """(M,) of every process, one after the other."""
    return torch.cat([each.cpu() for each in all_gather_object(values.cpu())])


def _event_writer(runner):
    """TensorBoard's, if the run has one."""
    backends: Mapping = runner.visualizer._vis_backends  # MMEngine has no public reader of all of them.
    writers = [backend.experiment for backend in backends.values() if hasattr(backend.experiment, 'add_histogram')]
    return writers[0] if writers else None
