"""Small recordings in the formats that people bring, for tests of importers."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

LENGTHS = (6, 4)  # Frames of each episode, those after the last actions included.


def make_frames(count: int, size: tuple[int, int] = (8, 12), first: int = 0) -> np.ndarray:
    """(count, H, W, 3): frame k is grey, ``10 (first + k)``; the top left pixel is white, the top right one red."""
    frames = np.empty((count, *size, 3), np.uint8)
    frames[:] = (10 * (first + np.arange(count)))[:, None, None, None]
    frames[:, 0, 0], frames[:, 0, -1] = 255, (255, 0, 0)
    return frames


def make_actions(count: int, first: int = 0) -> np.ndarray:
    """(count,): 0, 1, 2, 3, 4, 0, ... from ``first`` on."""
    return (first + np.arange(count)) % 5


def episodes(size: tuple[int, int] = (8, 12)) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames (T + 1, H, W, 3) and actions (T,) of the episodes that every source holds."""
    firsts = np.cumsum([0, *LENGTHS])
    return [(make_frames(n, size, first), make_actions(n - 1, first)) for n, first in zip(LENGTHS, firsts)]


def write_images(folder: Path, actions_too_many: int = 0) -> Path:
    """``0/``, ``1/`` with ``0.png`` ... and ``actions.txt``."""
    for number, (frames, actions) in enumerate(episodes()):
        (folder / str(number)).mkdir(parents=True)
        for row, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / str(number) / f'{row}.png')
        actions = [*actions, *[4] * actions_too_many]
        (folder / str(number) / 'actions.txt').write_text('\n'.join(map(str, actions)) + '\n')
    return folder


def write_videos(folder: Path) -> Path:
    """``0.avi`` with ``0.txt`` beside it, 10 frames per second, colours as they are."""
    folder.mkdir(parents=True)
    for number, (frames, actions) in enumerate(episodes()):
        video = cv2.VideoWriter(str(folder / f'{number}.avi'), cv2.VideoWriter_fourcc(*'FFV1'), 10, (12, 8))
        for frame in frames:
            video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        video.release()
        (folder / f'{number}.txt').write_text('\n'.join(map(str, actions)))
    return folder


def write_diamond(folder: Path, changes: Mapping[str, object] | None = None) -> Path:
    """Episode files as DIAMOND writes them; ``changes`` to the first: key -> function of the old value."""
    folder.mkdir(parents=True)
    torch.save({'num_episodes': len(LENGTHS)}, folder / 'info.pt')
    for number, (frames, actions) in enumerate(episodes()):
        obs = torch.from_numpy(frames).permute(0, 3, 1, 2)
        steps = len(actions)
        over = torch.zeros(steps, dtype=torch.uint8)
        over[-1] = 1
        data = {'obs': obs[:-1].clone(), 'act': torch.from_numpy(actions), 'rew': torch.zeros(steps),
                'end': over if number == 0 else 0 * over, 'trunc': over if number == 1 else 0 * over,
                'info': {'final_observation': obs[-1].float() / 127.5 - 1}}
        for key, change in ((changes or {}) if number == 0 else {}).items():
            data[key] = change(data[key])
        torch.save(data, folder / f'episode_{number}.pt')
    return folder


def write_latents(path: Path, changes: Mapping[str, object] | None = None) -> Path:
    """``{latents, episodes, actions, dones}`` of one row per frame; ``changes``: key -> function of the old value."""
    rows = sum(LENGTHS)
    actions = [int(action) for _, steps in episodes() for action in (*steps, 4)]
    ends = np.cumsum(LENGTHS) - 1
    data = {'latents': torch.arange(rows * 4 * 2 * 3).reshape(rows, 4, 2, 3).to(torch.float16),
            'episodes': np.repeat(np.arange(len(LENGTHS)), LENGTHS).tolist(), 'actions': actions,
            'dones': [row in ends for row in range(rows)]}
    for key, change in (changes or {}).items():
        data[key] = change(data[key])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(data, path)
    return path


def write_parquet(path: Path, *, after: bool = True, episode_ids: Sequence[int] | None = None,
                  done_at: Sequence[int] = (4, 7), row_group: int = 3, arrays: bool = False) -> Path:
    """A table of single steps; pictures are stored transposed, as those of pygame.

    Args:
        path: ``.parquet``.
        after: Has ``next_frame_image`` and ``done``: one row per action. Otherwise one row per frame.
        episode_ids: Of each row.
        done_at: Rows that are done.
        row_group: Rows in a piece of the file.
        arrays: Pictures as nested lists in the place of PNG.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    rows: dict[str, list] = {'episode': [], 'frame_image': [], 'action': []}
    if after:
        rows |= {'next_frame_image': [], 'done': []}
    for number, (frames, actions) in enumerate(episodes()):
        cells = [frame.transpose(1, 0, 2).tolist() if arrays else {'bytes': png(frame.transpose(1, 0, 2)), 'path': None}
                 for frame in frames]
        for row in range(len(actions) if after else len(frames)):
            rows['episode'].append(number)
            rows['frame_image'].append(cells[row])
            rows['action'].append(int(actions[row]) if row < len(actions) else 4)
            if after:
                rows['next_frame_image'].append(cells[row + 1])
    if after:
        rows['done'] = [row in done_at for row in range(len(rows['episode']))]
    if episode_ids is not None:
        rows['episode'] = list(episode_ids)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows), path, row_group_size=row_group)
    return path


def png(frame: np.ndarray) -> bytes:
    """Encoded picture."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(stream, 'PNG')
    return stream.getvalue()
