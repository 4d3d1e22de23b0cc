"""A flowgraph as a drawing: what is in it, where it stands, how it is painted. Imports no other room.

    diagram.py   boxes, arrows and branches: what is to be drawn
    layout.py    where everything stands: a layered layout by Graphviz, in rows
    lanes.py     the way of an arrow from the end of one row to the beginning of another
    svg.py       a layout as SVG, with other text in its boxes where it is wanted (the live page)
    figure.py    a layout as PNG or PDF
"""

from semstream.drawing.diagram import Arrow, Box, Diagram, branches
from semstream.drawing.layout import Layout, lay_out

__all__ = ["Arrow", "Box", "Diagram", "Layout", "branches", "lay_out"]
