"""The paper's study, done again: its published numbers, our measurements, and the report of both."""
