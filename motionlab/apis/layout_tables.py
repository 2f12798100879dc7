"""What was found about models of layouts, for the terminal."""

from collections.abc import Mapping

from rich.table import Table

from motionlab.apis.layout_evaluation import FULL, LayoutReport
from motionlab.evaluation.functional.estimates import Estimate


def estimates_table(rows: Mapping[str, Mapping[str, Estimate]], title: str,
                    caption: str = 'mean ± standard error over objects; of foreground iou over images') -> Table:
    """One line for each row, one column for each score that any of them has."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=title, caption=caption)
    table.add_column('')
    for name in columns:
        table.add_column(name.replace('_', ' '), justify='right')
    for name, row in rows.items():
        table.add_row(name, *(str(row[column]) if column in row else '' for column in columns))
    return table


def report_tables(report: LayoutReport) -> list[Table]:
    """Scores under each condition, what each path brings, and alpha by depth, as far as they were measured."""
    title = f'{report.num_images} images, {len(report.depth)} objects of {report.set_name}'
    tables = [estimates_table({name: report.estimates(name) for name in report.scores}, title)]
    others = [name for name in report.scores if name != FULL]
    if FULL in report.scores and others:
        tables.append(estimates_table(
            {f'{FULL} - {name}': {score: report.difference(score, FULL, name) for score in report.scores[FULL]}
             for name in others}, 'What each path brings', 'paired differences ± standard error'))
    alpha = report.alpha_by_depth()
    return tables + ([estimates_table({'alpha': alpha}, 'Alpha by depth')] if alpha else [])
