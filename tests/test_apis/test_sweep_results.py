import pytest

from motionlab.apis.lifting_sweep import Run
from motionlab.apis.sweep_results import summarize, table_of, to_markdown


def result(variant: str, seed: int, values: dict[str, float], sets=('home', 'near', 'far')):
    run = Run('c/lifter.py', 'home', 27, variant, seed, (), ('home',), sets, {}, {})
    return run, values


def results():
    for seed, shift in ((0, -1.0), (1, 1.0)):
        yield result('xy', seed, {'home/MPJPE': 50 + shift, 'near/MPJPE': 80.0, 'far/MPJPE': 120.0,
                                  'home/MPJPE/walk': 1.0, 'macro/MPJPE': 83.0, 'home/PCK@150': 90.0})
        yield result('xycd', seed, {'home/MPJPE': 40 + shift, 'near/MPJPE': 60.0, 'far/MPJPE': 110.0})


def row(rows, **wanted):
    found, = [each for each in rows if all(each[key] == value for key, value in wanted.items())]
    return found


def test_mean_deviation_and_gain():
    rows = summarize(list(results()))
    best = row(rows, variant='xycd', test_set='home', metric='MPJPE')
    assert (best['mean'], best['std'], best['seeds'], best['seen']) == (40, pytest.approx(2**0.5), [0, 1], True)
    assert best['gain_percent'] == pytest.approx(-20)
    assert row(rows, variant='xy', test_set='home', metric='MPJPE')['gain_percent'] is None
    unseen = row(rows, variant='xycd', test_set='unseen sets', metric='MPJPE')
    assert (unseen['mean'], unseen['gain_percent'], unseen['seen']) == (85, pytest.approx(-15), False)
    assert not any('walk' in each['metric'] or each['test_set'] == 'macro' for each in rows)
    assert row(rows, metric='PCK@150')['test_set'] == 'home'


def test_the_gain_compares_the_same_seeds():
    values = list(results())
    rows = summarize([*values[:2], values[3]])  # xy has seed 0 alone: xycd's seed 1 is not compared with it.
    best = row(rows, variant='xycd', test_set='home', metric='MPJPE')
    assert (best['mean'], best['gain_percent']) == (40, pytest.approx(100 * (39 / 49 - 1)))


@pytest.mark.parametrize('prefix', ['', 'home/'])
def test_one_test_set_may_have_no_prefix_and_one_seed_has_no_deviation(prefix):
    rows = summarize([result('xy', 0, {f'{prefix}MPJPE': 50.0, f'{prefix}MPJPE/walk': 2.0}, sets=('home',))])
    only, = rows
    assert (only['mean'], only['std'], only['test_set']) == (50, None, 'home')


def test_markdown():
    header, lines = table_of([each for each in summarize(list(results())) if each['metric'] == 'MPJPE'])
    assert header == ['config', 'trained on', 'frames', 'input', 'seeds', 'home', 'near', 'far', 'unseen sets']
    assert lines[1] == ['lifter', 'home', '27', 'xycd', '2', '40.0 ± 1.4 (-20.0 %) *', '60.0 ± 0.0 (-25.0 %)',
                        '110.0 ± 0.0 (-8.3 %)', '85.0 ± 0.0 (-15.0 %)']
    text = to_markdown(summarize(list(results())))
    assert f'| {" | ".join(lines[0])} |' in text.split('\n')
    assert '## MPJPE, mm' in text and 'P-MPJPE' not in text
    assert to_markdown([]).startswith('# Results')
