"""Programs that run under GNU Radio's own Python. They import GNU Radio and nothing of semstream."""
