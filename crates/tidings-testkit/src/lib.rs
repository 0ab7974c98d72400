//! Suites, a wire client and fixtures.
