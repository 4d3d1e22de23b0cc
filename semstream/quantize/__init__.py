"""Quantization: which feature gets how many bits, its codes, the bits on the wire, and the way back.

A library of its own: it needs NumPy and SciPy, and PyTorch for `contribution` and `straight_through` alone.

    features, contribution --classes, allocation--> bits --quantizer--> codes --packing--> payload
    payload or noisy levels --packing, dequantize--> features and their noise variance

`contribution`
    how much each feature matters: gradient, sensitivity, magnitude, std.
`classes`
    priority classes of equal size, most important first.
`allocation`, `knapsack`
    bits a class within a budget: uniform, fixed, cumulative, proportional, optimal.
`lloyd_max`, `quantizer`, `fixed_point`, `lookup`
    codebooks; `quantizer.LloydMax` (the default) and `fixed_point.FixedPoint` (the paper's).
`packing`, `class_map`
    codes and class maps to bytes, exactly counted.
`dequantize`
    hard, linear and soft estimates of features from noisy levels.
`bitwise`
    features from the LLRs of their bits; which bits matter.
`straight_through`
    quantization inside training.
"""
