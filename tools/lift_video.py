"""Lift the 2D keypoints of a video to 3D: python tools/lift_video.py CONFIG CHECKPOINT INPUT [options].

Writes predictions.npz, predictions.json, strip.png and a video of keypoints and 3D pose side by side to --out-dir.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.image import imsave
from rich.table import Table

from motionlab.apis import LiftedClip, PoseLiftingInferencer
from motionlab.apis.inferencers import read_camera, read_depth_file
from motionlab.datasets.detections import KEYPOINT_FORMATS
from motionlab.engine.cli import check_device, print_table, run_tool
from motionlab.visualization.video_io import VIDEO_SUFFIXES


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file of the lifter')
    parser.add_argument('checkpoint', help='its weights (.pth or .safetensors)')
    parser.add_argument('input', help='keypoints: .json of a detector, a folder of one .json per image, or .npz')
    parser.add_argument('--keypoints-format', required=True, choices=KEYPOINT_FORMATS,
                        help='order of the joints in the input; never guessed')
    parser.add_argument('--image-size', type=float, nargs=2, metavar=('W', 'H'),
                        help='pixels of the picture the keypoints are in; needed unless the input tells')
    parser.add_argument('--depth', metavar='FILE', help='.npz of depth at the joints, from extract_depth.py')
    parser.add_argument('--root', choices=['depth'], help="place the root by its keypoint's ray and its depth")
    parser.add_argument('--world', metavar='CAMERAS',
                        help='answer in world axes; camera file (<annotation>_cameras.npz). Needs --root')
    parser.add_argument('--camera', metavar='NAME', help='which camera of that file, if it holds several')
    parser.add_argument('--out-dir', required=True, metavar='DIR')
    parser.add_argument('--video', metavar='FILE', help='video or folder of images to draw over')
    parser.add_argument('--fps', type=float, help='frames per second of what is drawn; else those of --video, else 25')
    parser.add_argument('--format', choices=[suffix[1:] for suffix in VIDEO_SUFFIXES], default='mp4',
                        help='of the video (default mp4)')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args(argv)


def lift(args: argparse.Namespace) -> LiftedClip:
    """The clip that the options describe, lifted."""
    check_device(args.device)
    camera = read_camera(args.world, args.camera) if args.world else None
    extras = read_depth_file(args.depth) if args.depth else {}
    inferencer = PoseLiftingInferencer(args.config, args.checkpoint, args.device)
    return inferencer(args.input, args.keypoints_format, args.image_size, extras=extras, root=args.root, camera=camera,
                      world=camera is not None, show_progress=True)['predictions']


def write(clip: LiftedClip, args: argparse.Namespace) -> list[Path]:
    """All files of a lifted clip."""
    folder = Path(args.out_dir)
    files = [clip.save(folder / f'predictions.{suffix}') for suffix in ('npz', 'json')]
    imsave(folder / 'strip.png', clip.draw_strip())
    video = folder / f'lifted.{args.format}'
    clip.write_video(video, args.video, args.fps, show_progress=True)
    return [*files, folder / 'strip.png', video]


def make_table(clip: LiftedClip, files: list[Path]) -> Table:
    """What was lifted, what was missing, what was written."""
    table = Table(title='Lifted clip', show_header=False)
    rows = {'frames': len(clip), 'frames without any detection': clip.num_missing,
            'joints without a detection': f'{clip.num_missing_joints} of {clip.keypoints_px[..., 0].size}',
            'poses': f'{clip.axes} axes, {"relative to the root" if clip.origin == "root" else "absolute"}, metres'}
    if clip.root_known is not None:
        rows['frames with an interpolated root'] = int((~clip.root_known).sum())
    for name, value in (*rows.items(), ('written', '\n'.join(map(str, files)))):
        table.add_row(name, str(value))
    return table


def main() -> None:
    args = parse_args()
    clip = lift(args)
    print_table(make_table(clip, write(clip, args)))


if __name__ == '__main__':
    run_tool(main)
