"""Image sequences to send and crops to train on."""
