"""The decision, pure: no await, no clock, no socket, no framework, no logging.

In the order in which a token passes them: bearer, token, policy, freshness, jwks, signature, claims, access_token,
access, challenge.
"""
