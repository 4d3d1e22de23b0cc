"""The Swin codec, its linear path, weights on disk, the profile of its features, and both ends of the coding."""
