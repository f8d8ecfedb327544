// Only its headers matter: they are precompiled once for all tests.
