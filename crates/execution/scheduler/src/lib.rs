//! Who runs what, when: a pure state machine
