"""``python -m semstream.monitor.page ENDPOINT PORT``: the page beside a flowgraph, in a process of its own."""

from semstream.monitor.page.server import main

if __name__ == "__main__":
    main()
