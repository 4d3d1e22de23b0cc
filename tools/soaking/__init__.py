"""Parts of `tools/soak.py`: the workers that run, what is sampled of them, and what that says. Import no other tool."""
