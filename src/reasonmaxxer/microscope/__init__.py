"""What two models think of the same tokens, position by position."""
