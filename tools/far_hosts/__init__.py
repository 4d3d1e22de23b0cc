"""Hosts on one machine: network namespaces, joined by cables with delay, loss and a rate, that can be cut."""
