"""Engine `ray`: blocks as actors of a Ray cluster, frames over tcp between them, control over Ray."""
