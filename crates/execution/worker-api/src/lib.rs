//! The protocol between server and workers: level-triggered, leased
