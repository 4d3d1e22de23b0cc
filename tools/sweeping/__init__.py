"""Grids of link quality: points, who measures them, the file that survives a crash, the heat map."""
