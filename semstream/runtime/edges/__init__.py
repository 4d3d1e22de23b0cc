"""How frames get from node to node: sockets, credit, shared memory, order, joins. Imports graph and all below."""
