"""What alembic reads: the steps are in versions/."""
