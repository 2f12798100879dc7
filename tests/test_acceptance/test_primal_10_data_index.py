"""What becomes of a folder of motions on its way into batches."""

import numpy as np
import pytest
from torch.utils.data import DataLoader

from motionlab.datasets import motion_window_dataset
from motionlab.datasets.amass import AmassPreparation, prepare_amass
from motionlab.datasets.amass.motions import MotionSelection, RestPelvis
from motionlab.datasets.collate import batch_collate
from motionlab.datasets.motion_window_dataset import MotionWindowDataset
from motionlab.datasets.samplers import ResumableSampler
from motionlab.utils import DataError
from tests.amass_tree import write_motion

# File -> what is wrong with it, and the reason it is counted under.
MALFORMED = {'nan': ({'pose_body': lambda a: a * np.nan}, 'pose_body: not finite'),
             'norate': ({'mocap_frame_rate': None}, 'frame rate: missing'),
             'notrans': ({'trans': None}, 'trans: missing'),
             'rank': ({'trans': lambda a: a[:, 0]}, 'trans: shape'),
             'unequal': ({'trans': lambda a: a[:-3]}, 'trans: length')}
RATES = {30.0: 16, 120.0: 157, 60.0: 61, 59.94: 61, 29.97: 31, 100.0: 101, 150.0: 151, 29.0: 30, 25.0: 26}


def test_primal_10_data_index(small_body_file, tmp_path, monkeypatch):
    """Data index: counts of used/skipped per reason with file and field; zero None samples in batches; T=16 accepted,
    last window reachable (all T-15 starts seen); 59.94 / 29.97 / 100 fps handled."""
    root = tmp_path / 'amass'
    for fps, frames in RATES.items():  # One second and a frame, or just 16 frames.
        write_motion(root / f'CMU/s/{fps:06.2f}_stageii.npz', frames, fps=fps,
                     changes={'trans': lambda a, fps=fps: np.arange(len(a))[:, None] / fps * [1.2, 0, 0] + [0, 0, 1.3]})
    write_motion(root / 'CMU/s/short_stageii.npz', 60, fps=120.0)
    write_motion(root / 'CMU/s/ten_stageii.npz', 40, fps=30.0, num_betas=10)
    write_motion(root / 'CMU/s/neutral_stagei.npz')
    write_motion(root / 'CMU/s/shape.npz')
    for name, (changes, _) in MALFORMED.items():
        write_motion(root / f'CMU/s/{name}_stageii.npz', 64, changes=changes)
    selection = MotionSelection(pelvises=(RestPelvis.from_file(small_body_file),))
    options = dict(splits={'train': ['CMU']}, selection=selection)
    with pytest.raises(DataError, match=r'CMU/s/\w+_stageii\.npz: \w+: (missing|shape|length|not finite)'):
        prepare_amass(AmassPreparation(root, tmp_path / 'out', **options))
    manifest = prepare_amass(AmassPreparation(root, tmp_path / 'out', **options, on_error='skip',
                                              max_skipped=0.5)).manifest
    row, = manifest['table']
    counts = {key: row[key] for key in ('found', 'used', 'skipped', 'too_short', 'non_motion')}
    assert counts == {'found': 18, 'used': 10, 'skipped': 5, 'too_short': 1, 'non_motion': 2}
    assert {reason: entry['files'] for reason, entry in manifest['skipped'].items()} == {
        reason: [f'CMU/s/{name}_stageii.npz'] for name, (_, reason) in MALFORMED.items()}
    assert manifest['notices']['betas: 10, padded to 16']['files'] == ['CMU/s/ten_stageii.npz']

    said = []
    monkeypatch.setattr(motion_window_dataset, 'print_log', lambda text, *_: said.append(text))
    data = MotionWindowDataset('train.npz', tmp_path / 'out')
    said = ' '.join(said)
    assert '10 of 10 sequences' in said and '18 found, 10 used, 1 too short, 5 skipped, 2 non motion' in said
    for name, (_, reason) in MALFORMED.items():
        assert f'skipped 1 x {reason}' in said and f'CMU/s/{name}_stageii.npz' in said

    # One second at any rate is 31 frames of 1.2 m: none is dropped, none plays at another speed.
    for fps in RATES:
        sequence = data.store.files.tolist().index(f'CMU/s/{fps:06.2f}_stageii.npz')
        length = data.store.lengths[sequence]
        assert length == {30.0: 16, 120.0: 40}.get(fps, 31)
        trans = data.store.take(np.arange(*data.store.starts[sequence:sequence + 2]))['trans']
        np.testing.assert_allclose(np.linalg.norm(np.diff(trans, axis=0), axis=1) * 30, 1.2, rtol=2.1e-3)

    # Batches are full whatever is drawn, and every start of every sequence is drawn; 16 frames have one.
    seen: dict[int, set[int]] = {index: set() for index in range(len(data))}
    sampler = ResumableSampler(data, seed=0)
    loader = DataLoader(data, batch_size=5, sampler=sampler, collate_fn=batch_collate)
    for epoch in range(150):
        sampler.set_epoch(epoch)
        for batch in loader:
            assert {len(value) for value in batch.values()} == {5}
            assert all(value is not None and np.isfinite(value).all() for value in batch.values())
            for index, first in zip(batch['sample_index'].tolist(), batch['trans'][:, 0].numpy()):
                rows = slice(*data.store.starts[index:index + 2])
                here = (data.store.frames['trans'][rows] == first).all(axis=1)
                seen[index].add(int(here.argmax()))
    assert seen == {index: set(range(length - 15)) for index, length in enumerate(data.store.lengths)}
    assert 16 in data.store.lengths

    # Nothing left is an error.
    with pytest.raises(DataError, match='no usable frame'):
        prepare_amass(AmassPreparation(root, tmp_path / 'none', on_error='skip', max_skipped=1.0,
                                       splits=options['splits'], selection=MotionSelection(min_frames=500)))
