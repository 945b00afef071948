"""The steps between versions, the oldest first; a released one is never changed."""
