"""Fuzz targets: one function for each thing that reads what came from outside. Shared by the tests and `tools/fuzz.py`.

A target takes bytes, makes of them what its decoder reads, and raises what should not have been raised: anything but
the decoder's documented errors, or `BrokenError` where a property does not hold.
"""
