# An autoencoder of the maze game, from scratch.
_base_ = [
    '../_base_/frame_prediction_runtime.py',
    '../_base_/datasets/maze_game.py',
    '../_base_/models/frame_autoencoder.py',
    '../_base_/schedules/frame_autoencoder_8k.py',
]
