"""Every registry of MotionLab, each a child of its MMEngine root, in scope ``motionlab``.

Modules are imported the first time a registry is asked for something, so that ``import motionlab`` stays cheap.
"""

import difflib

from mmengine import registry as root

SCOPE = 'motionlab'


class UnknownComponentError(KeyError):
    """A name that no registry in reach knows; the message carries the nearest known names."""

    def __str__(self) -> str:
        return self.args[0]  # KeyError would show the repr, line breaks escaped.


class Registry(root.Registry):
    """An MMEngine registry whose failed look-up names scope, registry and the nearest names."""

    def get(self, key: str):
        found = super().get(key)
        if found is None:
            known = self._names_in_reach()
            near = difflib.get_close_matches(key.split('.')[-1], known, n=3, cutoff=0.5)
            nearest = ', '.join(near) if near else 'none alike'
            raise UnknownComponentError(
                f"'{key}' is not in registry '{self.name}' of scope '{self.scope}' nor in its parents. "
                f'Nearest names: {nearest}. Check the spelling of type=..., that the class is decorated with '
                f'its register_module(), and that its module is imported (custom_imports in the config).')
        return found

    def _names_in_reach(self) -> list[str]:
        names: set[str] = set()
        registry: root.Registry | None = self
        while registry is not None:
            registry.import_from_location()
            names.update(registry.module_dict)
            registry = registry.parent
        return sorted(names)


def _child(parent: root.Registry, *locations: str) -> Registry:
    """A child registry of ``parent`` that imports ``motionlab.<location>`` on first use."""
    return Registry(parent.name, parent=parent, scope=SCOPE, locations=[f'{SCOPE}.{loc}' for loc in locations])


RUNNERS = _child(root.RUNNERS, 'engine')
LOOPS = _child(root.LOOPS, 'engine')
HOOKS = _child(root.HOOKS, 'engine', 'visualization')
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, 'engine')
OPTIMIZERS = _child(root.OPTIMIZERS, 'engine')
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS, 'engine')
LOG_PROCESSORS = _child(root.LOG_PROCESSORS, 'engine')
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS, 'engine')

DATASETS = _child(root.DATASETS, 'datasets')
DATA_SAMPLERS = _child(root.DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child(root.TRANSFORMS, 'datasets')
FUNCTIONS = _child(root.FUNCTIONS, 'datasets')

MODELS = _child(root.MODELS, 'models')
# The ecosystem keeps all network parts in one registry; the other names say what a module is.
BACKBONES = HEADS = LOSSES = MODELS

METRICS = _child(root.METRICS, 'evaluation.metrics')
EVALUATOR = _child(root.EVALUATOR, 'evaluation.metrics')
VISUALIZERS = _child(root.VISUALIZERS, 'visualization')
VISBACKENDS = _child(root.VISBACKENDS, 'visualization')
INFERENCERS = _child(root.INFERENCERS, 'apis.inferencers')

CODECS = Registry('codec', scope=SCOPE, locations=[f'{SCOPE}.codecs'])
BODY_MODELS = Registry('body_model', scope=SCOPE, locations=[f'{SCOPE}.body'])
