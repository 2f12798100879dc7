import subprocess
import sys

import pytest
from mmengine import registry as root

from motionlab import registry
from motionlab.registry import UnknownComponentError
from motionlab.utils import register_all_modules


def test_unknown_name_tells_scope_registry_and_nearest_names():
    register_all_modules(init_default_scope=False)
    with pytest.raises(UnknownComponentError) as error:
        registry.MODELS.build(dict(type='PoseLiter'))
    message = str(error.value)
    assert "'PoseLiter'" in message and "'model'" in message and "'motionlab'" in message
    assert 'PoseLifter' in message


def test_lookup_falls_back_to_the_mmengine_root():
    assert registry.HOOKS.get('IterTimerHook') is root.HOOKS.get('IterTimerHook')


def test_root_registry_finds_our_components_under_our_scope():
    assert root.MODELS.switch_scope_and_registry(scope='motionlab').__enter__() is registry.MODELS


@pytest.mark.parametrize('name', ['RUNNERS', 'LOOPS', 'HOOKS', 'OPTIM_WRAPPERS', 'OPTIMIZERS', 'PARAM_SCHEDULERS',
                                  'OPTIM_WRAPPER_CONSTRUCTORS', 'DATASETS', 'DATA_SAMPLERS',
                                  'TRANSFORMS', 'FUNCTIONS', 'MODELS', 'METRICS', 'VISUALIZERS', 'VISBACKENDS'])
def test_every_registry_is_a_child_of_its_mmengine_root(name):
    child = getattr(registry, name)
    assert child.scope == 'motionlab' and child.parent is getattr(root, name)


def test_import_motionlab_pulls_in_nothing_heavy():
    code = ('import sys, motionlab; '
            "heavy = {'torch', 'mmengine', 'mmcv', 'matplotlib', 'diffusers', 'transformers'} & set(sys.modules); "
            'assert not heavy, heavy')
    subprocess.run([sys.executable, '-c', code], check=True)


def test_apis_import_without_optional_packages():
    code = ('import sys; from motionlab import apis; '
            "optional = {'mmcv', 'diffusers', 'transformers', 'peft'} & set(sys.modules); "
            'assert not optional, optional')
    subprocess.run([sys.executable, '-c', code], check=True)


def test_bodies_need_no_renderer_and_no_body_package():
    code = ('import sys; from motionlab.apis import PosePriorInferencer, fit_body; import motionlab.visualization; '
            "others = {'smplx', 'trimesh', 'pyrender', 'OpenGL', 'chumpy'} & set(sys.modules); "
            'assert not others, others')
    subprocess.run([sys.executable, '-c', code], check=True)
