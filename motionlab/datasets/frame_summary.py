"""What is in a store of frames, as a table."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from motionlab.datasets.frame_store import ENDS, FrameStore
from motionlab.datasets.importers.frames_import import ImportReport


def print_store(store: FrameStore) -> None:
    """One row per split."""
    height, width = store.frame_size
    title = f'{store.path}: {len(store)} frames, {height} x {width} pixels, {store.meta["fps"]:g} per second'
    table = Table(title=title, box=SIMPLE, title_justify='left')
    for column in ('split', 'episodes', 'frames', *ENDS):
        table.add_column(column, justify='left' if column == 'split' else 'right')
    for name in store.meta['splits']:
        episodes = store.split_episodes(name)
        ends = [int((store.end[episodes] == end).sum()) for end in range(len(ENDS))]
        table.add_row(name, str(len(episodes)), str(store.lengths[episodes].sum()), *map(str, ends))
    _print(table)


def print_report(report: ImportReport, action_names: tuple[str, ...]) -> None:
    """What a source holds: sizes, actions, and everything that was counted."""
    lengths = report.frames
    table = Table(box=SIMPLE, show_header=False)
    table.add_row('episodes', str(len(lengths)))
    table.add_row('frames', f'{sum(lengths)} ({min(lengths)} to {max(lengths)} in an episode)')
    if report.frame_size is not None:
        height, width = report.frame_size
        table.add_row('height x width', f'{height} x {width}')
        table.add_row('on disk', f'{report.num_bytes / 2**20:.1f} MiB')
    total = max(1, sum(report.actions.values()))
    table.add_row('actions', ', '.join(f'{name} {100 * report.actions[number] / total:.1f} %'
                                       for number, name in enumerate(action_names)))
    for what, number in report.counts.items():
        table.add_row(what, str(number))
    table.add_row('too short for a window', f'{len(report.short)}' + (f': {", ".join(report.short)}'
                                                                      if report.short else ''))
    _print(table)


def _print(table: Table) -> None:
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
