"""Graphs as YAML: reading with all findings, writing, schema, overrides, key files. Imports graph, no engine."""
