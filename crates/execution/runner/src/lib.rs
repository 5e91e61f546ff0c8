//! Spawns and confines one command; a separate, small process
