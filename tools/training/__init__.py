"""A training run: its options, its loop, and what it will take.

`tools/train.py` stands on it. Runs where only PyTorch, timm, NumPy, SciPy, Pillow and safetensors are installed.
"""
