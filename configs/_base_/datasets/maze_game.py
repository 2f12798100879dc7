# The maze game at 64 px in data/maze_game/maze64, from
# tools/dataset_converters/record_maze_game.py data/maze_game/maze64 --tile-px 4
# Windows are padded where an episode begins, so that playing can begin with its first frame. A batch is one gather from
# a mapped file: worker processes would only cost.
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    pin_memory=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='FrameWindowDataset', data_root='data/maze_game/', ann_file='maze64', split='train',
                 num_history=4, pad=True))
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='ResumableSampler', shuffle=False),
    collate_fn=dict(type='batch_collate'),
    dataset=dict(type='FrameWindowDataset', data_root='data/maze_game/', ann_file='maze64', split='val',
                 num_history=4, pad=True))
test_dataloader = [
    dict(val_dataloader, dataset=dict(val_dataloader['dataset'], split=name, dataset_name=name))
    for name in ('test_seen', 'test_unseen')
]

val_cfg = dict(type='EvalLoop')
test_cfg = dict(type='EvalLoop')
