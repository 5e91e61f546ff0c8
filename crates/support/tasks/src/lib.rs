//! Named task groups with an owner who joins them
