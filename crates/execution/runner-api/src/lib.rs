//! The two calls between a worker and the runner that spawns its commands
