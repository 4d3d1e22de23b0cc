"""What works on frames: blocks, their ports and settings, and how one is called. Imports frames."""
