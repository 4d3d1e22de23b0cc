"""What is connected to what, checked, as data; and the plan of a run. Imports block and frames."""
