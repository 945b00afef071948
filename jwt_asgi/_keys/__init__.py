"""The only code that waits on an issuer; the drawing in the package's root says what each module is."""
