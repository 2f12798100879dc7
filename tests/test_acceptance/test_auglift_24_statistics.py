"""A lifter with feature maps is trained, saved, loaded elsewhere and tested on other data."""

import torch

from motionlab.engine import MotionRunner
from tests.synthetic import write_lifting_annotation
from tests.test_engine.test_codec_statistics_hook import assert_same, feature_config, saved, train


def test_auglift_24_statistics(tmp_path):
    """Feature normalisation statistics travel with the checkpoint."""
    trained = train(feature_config(tmp_path, tmp_path / 'run'))
    assert trained['fitted']
    assert_same(saved(tmp_path / 'run'), trained)

    write_lifting_annotation(tmp_path, 'val', clips=2, frames=19, seed=5,
                             features={'rtm_joint_feats': 6, 'dav2_joint_feats': 4})
    with torch.no_grad():
        one, other = (MotionRunner.from_cfg(feature_config(
            tmp_path, tmp_path / name, load_from=str(tmp_path / 'run/best_model.pth'))) for name in ('a', 'b'))
        assert one.bare_model.codec.needs_fit, 'nothing but the checkpoint brings them'
        one.test()
        assert_same(one.bare_model.codec.statistics.state_dict(), trained)
        # The test set does not matter: a window is encoded alike whatever else is tested.
        other.load_or_resume()
        batch = other.build_dataloader(other.cfg.test_dataloader).dataset.__getitems__(range(38))
        whole = one.bare_model.codec.encode(batch)['inputs']
        single = other.bare_model.codec.encode({key: value[7:8] for key, value in batch.items()})['inputs']
    torch.testing.assert_close(single, whole[7:8], rtol=0, atol=0)
    assert whole[..., 2:].abs().max() <= 1
