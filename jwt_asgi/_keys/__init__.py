"""The only code that waits on an issuer: fetch, discovery, remote; and static, for keys that are at hand."""
