# The decoder of TAESD, tuned to the maze game as it was to Pacman (tahahah/Sana-fork); latents stay what they are. Give
# the folder of the trained weights: --cfg-options model.backbone.path=FOLDER. In a predictor's codec:
# dict(type='TinyAutoencoder', path=FOLDER, decoder=CHECKPOINT).
_base_ = ['./autoencoder-f4c8_1xb32-8k_maze64.py']

model = dict(backbone=dict(_delete_=True, type='DiffusersAutoencoder', kind='AutoencoderTiny', path=None),
             decoder_only=True)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
