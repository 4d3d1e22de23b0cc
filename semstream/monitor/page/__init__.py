"""The live page: what browsers see of a run, and how they steer it. Bokeh is imported only where it is used."""
