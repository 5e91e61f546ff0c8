"""The Protocol Buffers rule that Bazel's own packages load, as the native rule it is in Bazel 4."""

proto_library = native.proto_library
