//! Takes assignments, fetches inputs, has the runner run them, uploads outputs
