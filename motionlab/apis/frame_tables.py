"""What was found about a model of a game, for the terminal."""

from rich.table import Table

from motionlab.apis.frame_control import CONTROL_NAMES
from motionlab.apis.frame_evaluation import FrameReport
from motionlab.apis.frame_rollouts import PARTS, WAYS

NO_ORACLE = 'not measured: only the maze game tells what each action leads to'
_SHOWN = ('psnr', 'psnr_of_mean', 'ssim', 'changed_psnr', 'changed_mse')
_TITLES = {'psnr': 'PSNR (dB, mean over frames)', 'psnr_of_mean': 'PSNR (dB, of the mean error)', 'ssim': 'SSIM',
           'changed_psnr': 'PSNR of changed pixels (dB)', 'changed_mse': 'MSE of changed pixels'}


def report_tables(reports: dict[str, FrameReport], speed: dict[str, float] | None = None) -> list[Table]:
    """Everything that was found, for the terminal: single frames, control, rollouts, speed."""
    return [_windows_table(reports), _control_table(reports), *map(_rollout_table, reports.values()),
            *([] if speed is None else [_speed_table(speed)])]


def _windows_table(reports: dict[str, FrameReport]) -> Table:
    table = Table(title='Single frames')
    table.add_column('')
    for split, report in reports.items():
        for who in (f'{split} ({report.windows["num_samples"]})', 'copy-last', 'ceiling'):
            table.add_column(who, justify='right')
    for name in _SHOWN:
        row = [f'{report.windows[key]:.4f}' if key in report.windows else '' for report in reports.values()
               for key in (name, f'copy_last_{name}', f'codec_{name}')]
        table.add_row(_TITLES[name], *row)
    shares = [cell for report in reports.values()
              for cell in (_percent(report.windows.get('changed_mse_share')), '100.0%' * ('changed_mse' in
                                                                                         report.windows), '')]
    table.add_row('the same as a share of copy-last', *shares)
    sentences = []
    for name in dict.fromkeys(name for report in reports.values() for name in report.perceptual):
        found = [report.perceptual.get(name) for report in reports.values()]
        sentences += [f'{name.upper().replace("_", " ")}: {value}' for value in found if isinstance(value, str)]
        if not name.startswith('copy_last_') and any(isinstance(value, float) for value in found):
            table.add_row(name.upper().replace('_', ' '), *(cell for report in reports.values() for cell in (
                _number(report.perceptual.get(name)), _number(report.perceptual.get(f'copy_last_{name}')), '')))
    table.caption = '\n'.join(dict.fromkeys(['ceiling: the target after the codec and nothing else', *sentences]))
    return table


def _control_table(reports: dict[str, FrameReport]) -> Table:
    table = Table(title='Control: one step per action from real states',
                  caption='share +- standard error (how often of how many)')
    table.add_column('')
    for split in reports:
        table.add_column(split, justify='right')
    for name, title in CONTROL_NAMES.items():
        table.add_row(title, *(NO_ORACLE if report.control is None else str(report.control[name])
                               for report in reports.values()))
    return table


def _rollout_table(report: FrameReport) -> Table:
    rollouts = report.rollouts
    drift = 'never worse than copy-first' if rollouts.drift is None else \
        f'worse than copy-first from frame {rollouts.drift} on'
    table = Table(title=f'{rollouts.num_rollouts} rollouts on {report.split}: PSNR (dB) by frames ahead',
                  caption=f'free: {drift}')
    table.add_column('')
    for frame in rollouts.horizons:
        table.add_column(str(frame), justify='right')
    for way in WAYS:
        table.add_row(way.replace('_', ' '), *(f'{value:.2f}' for value in rollouts.psnr[way]))
    if rollouts.positions is not None:
        table.add_row('free: player right', *(_percent(share.value) for share in rollouts.positions))
    return table


def _speed_table(speed: dict[str, float]) -> Table:
    table = Table(title='Milliseconds for a frame', caption=f'{speed["fps"]:.1f} frames per second')
    for part in PARTS:
        table.add_column(part, justify='right')
    table.add_row(*(f'{speed[part]:.1f}' for part in PARTS))
    return table


def _percent(value: float | None) -> str:
    return '' if value is None else f'{value:.1%}'


def _number(value: float | str | None) -> str:
    return f'{value:.4f}' if isinstance(value, float) else ''
