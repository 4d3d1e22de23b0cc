"""What travels: frames, the types of their arrays, their wire form and recordings. Imports errors alone."""
