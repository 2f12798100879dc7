"""Find what a config misspells, as far as that can be known before anything is built.

A dict with a ``type`` is checked against the signature of the class it names; dicts that MMEngine's Runner consumes
itself are checked against the names it knows. Where the class cannot be found, or takes ``**kwargs``, nothing is said.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from mmengine import registry as root
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from motionlab import registry as ours
from motionlab.engine.runner import DEFAULT_HOOKS
from motionlab.utils import ConfigError

RUNNER_KEYS = frozenset({
    'default_scope', 'model', 'data_preprocessor', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr',
    'train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg', 'val_evaluator',
    'test_evaluator', 'default_hooks', 'custom_hooks', 'custom_imports', 'env_cfg', 'randomness', 'vis_backends',
    'visualizer', 'log_processor', 'log_level', 'load_from', 'resume', 'work_dir', 'launcher', 'experiment_name',
    'overwrite', 'runner_type', 'model_wrapper_cfg', 'find_unused_parameters', 'shard_frozen', 'compile', 'untrained',
})
# Keys that the builder of a registry takes out before the class is called.
_CONSUMED = {
    'hook': {'priority'},
    'optim_wrapper': {'optimizer', 'paramwise_cfg', 'constructor'},
    'parameter scheduler': {'convert_to_iter_based'},
}
_ANY_COMPONENT = {'type', '_scope_', '_delete_'}
_FREE_MAPPINGS = {'metainfo', 'custom_keys'}  # Keys are data.
_REGISTRIES = tuple(
    [value for name, value in vars(ours).items() if isinstance(value, ours.Registry) and name != 'INFERENCERS']
    + [root.OPTIMIZERS, root.PARAM_SCHEDULERS, root.OPTIM_WRAPPER_CONSTRUCTORS, root.WEIGHT_INITIALIZERS])


def check_config(cfg: Mapping[str, Any], file: str) -> None:
    """Check names of top-level keys and of component arguments.

    Args:
        cfg: The merged config.
        file: Named in errors.

    Raises:
        ConfigError: names the file, the dotted path, the unknown name and the nearest known one. A top-level key is
            an error only when it nearly equals a known one (users may define variables).
    """
    for key in cfg.keys() - RUNNER_KEYS:
        near = difflib.get_close_matches(key, RUNNER_KEYS, n=1, cutoff=0.85)
        if near:
            raise ConfigError(f"{file}: unknown key '{key}': did you mean '{near[0]}'? "
                              '(A variable of your own needs a name less like it.)')
    for path, node in _walk(cfg):
        known = accepted_keys(path, node)
        if known is None:
            continue
        for key in node:
            if key not in known:
                owner = _name_of(node)
                hint = ' If `type` was changed in a child config, add _delete_=True.' if 'type' in node else ''
                raise ConfigError(f"{file}: {'.'.join((*path, key))}: {owner} takes no argument '{key}'. "
                                  f'{nearest(key, known - _ANY_COMPONENT)}{hint}')


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence for error messages that names what ``name`` was probably meant to be."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f'Known: {", ".join(known)}.' if known else 'It takes none.'


def accepted_keys(path: tuple[str, ...], node: Mapping[str, Any]) -> set[str] | None:
    """The keys that the dict ``node`` at ``path`` may have; None where that cannot be known.

    Args:
        path: Keys and list indices from the top of the config to ``node``.
        node: That dict.
    """
    if _built_by_parent(path):
        return None
    kind, component = find_component(node.get('type'))
    if component is not None:
        arguments = arguments_of(component)
        if arguments is None:
            return None
        return set(arguments) | _ANY_COMPONENT | _CONSUMED.get(kind, set())
    if 'type' in node and path[-1] != 'clip_grad':
        return None
    return _schema_without_type(path, node)


def find_component(name: Any) -> tuple[str, Callable | None]:
    """The registry's name and the class or function that ``type=name`` builds; ('', None) if none or several."""
    if not isinstance(name, str):
        return '', name if callable(name) else None
    scope, _, short = name.rpartition('.')
    if scope not in ('', ours.SCOPE, 'mmengine'):
        return '', None
    found: dict[Callable, str] = {}
    for registry in _REGISTRIES:
        level: root.Registry | None = registry
        while level is not None:
            if scope in ('', level.scope):
                level.import_from_location()
                if short in level.module_dict:
                    found.setdefault(level.module_dict[short], registry.name)
                    break
            level = level.parent
    if len(found) != 1:  # One name in two registries: only the builder knows which is meant.
        return '', None
    component, kind = next(iter(found.items()))
    return kind, component


@cache
def arguments_of(component: Callable) -> frozenset[str] | None:
    """Names of the arguments of a class or function; None if it takes ``**kwargs`` or hides its signature."""
    try:
        parameters = inspect.signature(component).parameters.values()
    except (TypeError, ValueError):  # Some classes written in C have no signature.
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters if p.kind is not p.VAR_POSITIONAL)


def _schema_without_type(path: tuple[str, ...], node: Mapping[str, Any]) -> set[str] | None:
    """Dicts that need no ``type`` because their place in the config says what they are."""
    place = '.'.join(p for p in path if not p.isdigit())
    if place in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        return set(arguments_of(DataLoader)) | {'num_batch_per_epoch'}
    if place == 'train_cfg':
        # The loop is the one that counts what is given; a config may give either.
        loop = find_component('IterLoop' if 'max_iters' in node else 'EpochLoop')[1]
        return set(arguments_of(loop)) | {'by_epoch', 'type', 'max_iters'}
    if place in ('val_cfg', 'test_cfg'):
        return set(arguments_of(find_component('EvalLoop')[1])) | {'type'}
    if place == 'optim_wrapper':
        return set(arguments_of(find_component('OptimWrapper')[1])) | _CONSUMED['optim_wrapper'] | {'type'}
    if place == 'randomness':
        return set(arguments_of(Runner.set_randomness)) - {'self'}
    if place == 'default_hooks':  # A further hook says its type (or is None); one without is a known hook misspelt.
        own = {key for key, hook in node.items() if hook is None or 'type' in hook}
        return set(DEFAULT_HOOKS) | own
    return {
        'auto_scale_lr': {'base_batch_size', 'enable'},
        'env_cfg': {'cudnn_benchmark', 'allow_tf32', 'mp_cfg', 'dist_cfg', 'resource_limit'},
        'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
        'env_cfg.dist_cfg': {'backend', 'timeout', 'port'},
        'custom_imports': {'imports', 'allow_failed_imports'},
        'optim_wrapper.clip_grad': {'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'clip_value', 'foreach'},
        'optim_wrapper.paramwise_cfg': {
            'lr_mult', 'decay_mult', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult',
            'dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate', 'custom_keys'},
    }.get(place)


def _built_by_parent(path: tuple[str, ...]) -> bool:
    """Inside a component, ``norm_cfg``, ``act_cfg``, ... are taken apart by the component, not by a registry."""
    return any(part.endswith('_cfg') for part in path[1:-1]) or (len(path) > 1 and path[-1].endswith('_cfg')
        and path[0] not in ('env_cfg', 'optim_wrapper'))


def is_free_mapping(path: tuple[str, ...], node: Mapping[str, Any]) -> bool:
    """Whether the keys of a dict are data, so that any may be new."""
    return not node or bool(_FREE_MAPPINGS.intersection(path))


def _walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every dict below the top level, outermost first."""
    if isinstance(node, Mapping):
        if path:
            yield path, node
        for key, value in node.items():
            yield from _walk(value, (*path, str(key)))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _walk(value, (*path, str(index)))


def _name_of(node: Mapping[str, Any]) -> str:
    kind = node.get('type', 'this dict')
    return kind if isinstance(kind, str) else kind.__name__
