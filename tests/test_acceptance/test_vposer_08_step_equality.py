from tests.test_tools import load_tool

tool = load_tool('analysis_tools/benchmark_vposer_step.py')


def test_vposer_08_step_equality(small_body_file):
    """Fast body path equals full path and is measurably faster: here the training step's losses, to 1e-5.

    The benchmark, which reports the speed, compares every term at every step of training; the body's own equality is
    proved beside it.
    """
    found = tool.measure(small_body_file, batch_size=16, steps=3, warmup=1, poses=40)  # The third batch is ragged.
    assert 0 < found['largest_difference'] < tool.TOLERANCE
    assert min(found['plain_s'], found['ours_s'], found['speedup']) > 0 and 0 <= found['data_share'] < 1
