"""A flowgraph as a drawing: what is in it, where it stands, how it is painted. Imports no other room.

- `diagram`: boxes, arrows and branches: what is to be drawn
- `layout`: where everything stands; `rows` by Graphviz, `lanes` between them, in `places`
- `svg`: a layout as SVG, with live numbers over it where they are wanted
- `figure`: a layout as PNG or PDF
"""

from semstream.drawing.diagram import Arrow, Box, Diagram, branches, titled
from semstream.drawing.layout import Layout, lay_out

__all__ = ["Arrow", "Box", "Diagram", "Layout", "branches", "lay_out", "titled"]
