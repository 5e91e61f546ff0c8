//! Merkle directories and trees: canonical, checked, bounded
