import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.test_tools import TOOLS, load_tool

REPO = TOOLS.parent
VARIANTS, FRAMES, SEEDS = ('xy', 'xyc', 'xycd', 'uadd6'), (1, 9, 27, 81, 243), (0, 1, 2)


def test_auglift_23_sweep(monkeypatch):
    """Sweep `--dry-run` lists every run once; no environment variable or absolute path needed."""
    configs = [f'configs/pose_lifting/auglift/h36m/auglift_{recipe}_h36m-xycd.py'
               for recipe in ('tcn-27frm_1xb512-200e', 'poseformer-27frm_1xb256-130e')]
    command = ['tools/sweep.py', *configs, '--variants', *VARIANTS, '--frames', *map(str, FRAMES), '--seeds',
               *map(str, SEEDS), '--train-sets', 'h36m', '3dpw', '--work-dir', 'work_dirs/acceptance23',
               '--dry-run']
    answer = subprocess.run([sys.executable, *command], cwd=REPO, env={}, text=True, capture_output=True, timeout=120)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert not (REPO / 'work_dirs' / 'acceptance23').exists()

    heads = re.findall(r'^\[\d+/(\d+)\] (\S+): new$', answer.stdout, flags=re.MULTILINE)
    expected = {f'{Path(config).stem}/{data}-{frames}frm-{variant}-seed{seed}' for config in configs
                for data in ('h36m', '3dpw') for frames in FRAMES for variant in VARIANTS for seed in SEEDS}
    assert sorted(name for _, name in heads) == sorted(expected)  # Every one, and once.
    assert {total for total, _ in heads} == {str(len(expected))}

    words = [shlex.split(line) for line in answer.stdout.splitlines() if line.startswith('    ')]
    trains = [line for line in words if line[:2] == ['python', 'tools/train.py']]
    assert len(trains) == len(words) / 2 == len(expected)
    assert len({line[line.index('--work-dir') + 1] for line in trains}) == len(expected)
    assert not any(word.startswith('/') or '=/' in word or '$' in word for line in words for word in line)

    # The commands are complete: what the first and the last run say is what they are called.
    monkeypatch.chdir(REPO)
    train = load_tool('train.py')
    for line in (trains[0], trains[-1]):
        cfg = train.build_config(train.parse_args(line[2:]))
        said = re.search(r'/(\w+)-(\d+)frm-(\w+)-seed(\d)$', cfg.work_dir).groups()
        assert said == (cfg.train_dataloader.dataset.dataset_name, str(cfg.train_dataloader.dataset.seq_len),
                        {(False, False, None): 'xy', (True, True, 'range'): 'uadd6'}[
                            cfg.model.codec.use_confidence, cfg.model.codec.use_depth,
                            cfg.model.codec.get('depth_stats')], str(cfg.randomness.seed))
