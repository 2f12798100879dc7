from pathlib import Path

from setuptools import find_packages, setup

version: dict[str, str] = {}
exec((Path(__file__).parent / 'motionlab/version.py').read_text(), version)

setup(
    name='motionlab',
    version=version['__version__'],
    description='Human motion and controllable generation on MMEngine: pose lifting, pose priors, motion diffusion',
    long_description=(Path(__file__).parent / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=['motionlab', 'motionlab.*']),
    package_data={'motionlab.apis.play': ['page/*']},
    install_requires=[
        'torch>=2.5',
        'mmengine>=0.10.7',
        'numpy>=1.26',
        'scipy>=1.11',
        'roma>=1.8',
        'safetensors>=0.4',
        'tensorboard>=2.15',
        'matplotlib>=3.8',
        'rich>=13',
    ],
    extras_require={
        'depth': ['transformers>=4.45'],  # Depth-Anything-V2 for tools/dataset_converters/extract_depth.py.
        'converters': ['h5py>=3.8', 'cdflib>=1.2'],  # MPI-INF-3DHP test set (.mat v7.3), Human3.6M (.cdf).
        'mmcv': ['mmcv-lite>=2.1'],  # A full mmcv may stand in its place; mmcv.ops is never imported.
        'sana': ['diffusers>=0.36'],  # Sana transformer and autoencoders of frame prediction.
        'flux': ['diffusers>=0.36', 'peft>=0.17', 'transformers>=4.56'],  # FLUX of layout generation, LoRA, encoders.
        'game': ['gymnasium>=1.0'],  # The maze game as a gymnasium environment.
        'atari': ['gymnasium>=1.0', 'ale-py>=0.10'],  # Recording Atari frames; ale-py is GPL-2.0-only.
        'tables': ['pyarrow>=16.1'],  # Recordings in parquet tables.
        'smplx': ['smplx>=0.1.28'],  # What benchmarks and tests of bodies compare with; non-commercial licence.
        'dev': ['pytest>=8', 'pytest-xdist>=3.5', 'hypothesis>=6.100', 'ruff>=0.6', 'import-linter>=2.0',
                'mmcv-lite>=2.1', 'smplx>=0.1.28', 'diffusers>=0.36', 'peft>=0.17', 'transformers>=4.56',
                'gymnasium>=1.0', 'ale-py>=0.10', 'pyarrow>=16.1', 'playwright>=1.40'],
    },
)
