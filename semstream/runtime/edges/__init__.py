"""How frames get from node to node: sockets, credit, order, joins. Imports graph and all below."""
