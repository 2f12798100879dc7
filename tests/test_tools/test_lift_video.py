"""The command line around the pose lifting inferencer: what it writes, what it prints, how it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

from motionlab.apis import PoseLiftingInferencer
from motionlab.datasets.image_frames import ImageFrames
from motionlab.engine.checkpoint import write_checkpoint
from motionlab.utils import ConfigError, DataError
from motionlab.visualization.video_io import frame_rate, write_video
from tests.synthetic import write_lifting_annotation
from tests.test_apis.lifters import SIZE, lifter_config, make_clip, make_lifter
from tests.test_tools import TOOLS, load_tool

tool = load_tool('lift_video.py')
FRAMES = 6


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A config, its weights, detections with a hole in them, depth, a video and cameras."""
    folder, model, clip = tmp_path_factory.mktemp('lift'), make_lifter(), make_clip(FRAMES)
    (folder / 'config.py').write_text(f"default_scope = 'motionlab'\nmodel = {lifter_config()!r}\n")
    write_checkpoint({'meta': {}, 'state_dict': model.state_dict()}, folder / 'weights.pth')
    frames = [{'frame_id': t, 'instances': [] if t == 2 else [
        {'keypoints': clip['inputs'][t].tolist(), 'keypoint_scores': clip['confidence'][t].tolist()}]}
        for t in range(FRAMES)]
    (folder / 'found.json').write_text(json.dumps(frames))
    np.savez(folder / 'depth.npz', predicted_da_depth=clip['depth_m'])
    write_video(folder / 'video.mp4', [np.full((500, 500, 3), 90, dtype=np.uint8)] * FRAMES, fps=12)
    write_lifting_annotation(folder, clips=1, frames=2)
    return folder


def arguments(folder, out, *options) -> list[str]:
    return [*map(str, (folder / 'config.py', folder / 'weights.pth', folder / 'found.json', '--keypoints-format',
                       'h36m17', '--image-size', *SIZE, '--depth', folder / 'depth.npz', '--device', 'cpu',
                       '--out-dir', out, *options))]


def run(monkeypatch, *argv) -> None:
    monkeypatch.setattr(sys, 'argv', ['lift_video.py', *argv])
    tool.main()


def test_predictions_pictures_and_one_table(folder, tmp_path, monkeypatch, capsys):
    run(monkeypatch, *arguments(folder, tmp_path / 'out', '--video', folder / 'video.mp4'))
    assert sorted(file.name for file in (tmp_path / 'out').iterdir()) == [
        'lifted.mp4', 'predictions.json', 'predictions.npz', 'strip.png']
    video = tmp_path / 'out' / 'lifted.mp4'
    assert len(ImageFrames(video)) == FRAMES and frame_rate(video) == pytest.approx(12)

    clip = make_clip(FRAMES)
    clip['inputs'][2] = np.nan
    expected = PoseLiftingInferencer(make_lifter())(**clip, keypoint_format='h36m17', image_size_px=SIZE)['predictions']
    with np.load(tmp_path / 'out' / 'predictions.npz') as stored:
        np.testing.assert_allclose(stored['joints_m'], expected.joints_m, atol=1e-5)
        assert stored['valid'].tolist() == [True, True, False, True, True, True]
    rows = [line.strip('│ \n').split('│') for line in capsys.readouterr().out.split('\n') if line.startswith('│')]
    rows = {name.strip(): value.strip() for name, value in rows[:4]}
    assert rows == {'frames': '6', 'frames without any detection': '1', 'joints without a detection': '17 of 102',
                    'poses': 'camera axes, relative to the root, metres'}


def test_world_and_gif(folder, tmp_path, monkeypatch, capsys):
    run(monkeypatch, *arguments(folder, tmp_path, '--world', folder / 'train_cameras.npz', '--root', 'depth',
                                '--format', 'gif'))
    out = capsys.readouterr().out
    assert 'world axes, absolute, metres' in out and 'frames with an interpolated root' in out
    assert (tmp_path / 'lifted.gif').is_file()
    with np.load(tmp_path / 'predictions.npz') as stored:
        assert stored['axes'] == 'world' and stored['root_known'].tolist() == [t != 2 for t in range(FRAMES)]


@pytest.mark.parametrize(('options', 'error', 'message'), [
    (['--world', 'train_cameras.npz'], ConfigError, 'found no root'),
    (['--root', 'depth'], ConfigError, 'found no camera'),
    (['--world', 'train_cameras.npz', '--root', 'depth', '--camera', 'x'], DataError, "no 'x'"),
    (['--depth', 'found.json'], DataError, 'found.json')])
def test_wrong_requests(folder, tmp_path, options, error, message):
    options = [str(folder / option) if '.' in option else option for option in options]
    with pytest.raises(error, match=message):
        tool.lift(tool.parse_args(arguments(folder, tmp_path, *options)))


def test_errors_are_one_message(folder, tmp_path):
    argv = arguments(folder, tmp_path)
    del argv[argv.index('--depth'):argv.index('--depth') + 2]
    result = subprocess.run([sys.executable, str(TOOLS / 'lift_video.py'), *argv], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 2
    message = [line for line in result.stderr.split('\n') if line]
    assert len(message) == 1 and 'depth_m: found not given' in message[0] and 'extract_depth.py' in message[0]
