"""How frames get from node to node: sockets, credit, hand-over, shared memory, order, joins. Imports graph and all below."""
