"""How frames get from node to node: sockets, credit, objects, shared memory, order, joins. Imports graph and all below."""
