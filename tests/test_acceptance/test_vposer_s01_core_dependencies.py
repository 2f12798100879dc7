import json
import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPO
from tests.pose_priors import DEMO, write_pose_splits

SCRIPT = '''
import importlib, json, sys

from tests.absent_packages import hide

hide(*json.loads(sys.argv[1]))
for room in json.loads(sys.argv[2]):
    importlib.import_module(room)

from tests.test_tools import load_tool
sys.argv = ['test.py', *json.loads(sys.argv[3])]
load_tool('test.py').main()
'''
ROOMS = ('motionlab', 'motionlab.body', 'motionlab.codecs', 'motionlab.datasets', 'motionlab.models',
         'motionlab.engine', 'motionlab.evaluation.metrics', 'motionlab.apis',
         'motionlab.apis.inferencers', 'motionlab.apis.body_ik')


def normal(name: str) -> str:
    return re.sub('[-_.]+', '-', name).lower()


def core_distributions() -> set[str]:
    """What ``pip install motionlab`` brings: its requirements without extras, and theirs."""
    found, waiting = set(), ['motionlab']
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needed = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue  # Another build stands in its place.
        waiting += [each.name for each in needed if each.marker is None or each.marker.evaluate({'extra': ''})]
    return found | {'opencv-python-headless'}  # Stands in for opencv-python where there is no display library.


def test_vposer_s01_core_dependencies(small_body_file, tmp_path):
    """unspecified dependencies found one by one -> importing/evaluating needs only core deps; renderer, trimesh etc.
    never imported unless drawing is asked for."""
    core = core_distributions()
    if core <= {'motionlab', 'opencv-python-headless'}:
        pytest.skip('motionlab is not installed: its requirements are not known')
    assert {'torch', 'mmengine', 'numpy', 'scipy', 'roma'} <= core
    assert not {'trimesh', 'pyrender', 'smplx', 'chumpy', 'pytorch-lightning', 'human-body-prior'} & core
    absent = {module for module, owners in metadata.packages_distributions().items()
              if not {normal(owner) for owner in owners} & core}
    absent |= {'trimesh', 'pyrender', 'smplx', 'chumpy', 'pytorch_lightning', 'human_body_prior', 'body_visualizer',
               'psbody', 'OpenGL', 'pyglet', 'transformers', 'h5py', 'mmcv'}
    data = write_pose_splits(tmp_path / 'data', {'vald': 8, 'test': 5})
    options = [str(DEMO), '--untrained', '--work-dir', str(tmp_path / 'w'), '--out', str(tmp_path / 'm.json'),
               '--cfg-options', f'model.body.path={small_body_file}', 'default_hooks.visualization=None',
               *(f'test_dataloader.{i}.dataset.data_root={data}' for i in range(2))]
    result = subprocess.run([sys.executable, '-c', SCRIPT, *map(json.dumps, (sorted(absent), ROOMS, options))],
                            cwd=REPO, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert metrics['UNTRAINED/vald/num_samples'] == 8 and metrics['UNTRAINED/test/v2v_mean'] > 0
