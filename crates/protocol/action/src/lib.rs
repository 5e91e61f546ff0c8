//! Actions, commands and platforms, checked once at the door
