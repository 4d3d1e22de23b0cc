"""Evaluation of codecs on pictures: cases, the simulated link, baselines, the table and the figures.

`tools/evaluate.py` and `tools/reproduce.py` stand on it.
"""
