#!/bin/bash
# One of four parts of a test; each says which, and tells Bazel that it knows.
touch "$TEST_SHARD_STATUS_FILE"
echo "shard $TEST_SHARD_INDEX of $TEST_TOTAL_SHARDS"
[ "$TEST_TOTAL_SHARDS" = 4 ]
