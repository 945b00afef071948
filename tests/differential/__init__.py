"""Two other libraries judge the same tokens: where they differ from us, the token itself must say why."""
