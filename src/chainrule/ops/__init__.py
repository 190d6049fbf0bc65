"""What nodes compute: one file a family of ops."""
