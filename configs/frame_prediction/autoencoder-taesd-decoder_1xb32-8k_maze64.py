# The decoder of TAESD, tuned to the maze game; latents stay what they are. Give the folder of the trained weights:
# --cfg-options model.backbone.path=FOLDER. In a predictor's codec: dict(type='TinyAutoencoder', path=FOLDER,
# decoder=CHECKPOINT).
_base_ = [
    '../_base_/frame_prediction_runtime.py',
    '../_base_/datasets/maze_game.py',
    '../_base_/models/frame_autoencoder.py',
    '../_base_/schedules/frame_autoencoder_8k.py',
]

model = dict(backbone=dict(_delete_=True, type='DiffusersAutoencoder', kind='AutoencoderTiny', path=None),
             decoder_only=True)
