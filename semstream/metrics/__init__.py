"""Picture quality, and the records, tables and figures that report it."""
