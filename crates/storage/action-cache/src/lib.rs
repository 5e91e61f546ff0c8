//! The ActionCache contract, its decorators and a memory cache
