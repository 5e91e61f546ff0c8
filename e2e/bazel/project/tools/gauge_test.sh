#!/bin/bash
# Runs the program whose path (below the runfiles) is given and looks at its lines.
set -euo pipefail

output=$("./$1")
echo "$output"
grep -q '^primes *303$' <<<"$output"
grep -q '^ratio *1/2$' <<<"$output"
grep -q '^roman *MMXXVI$' <<<"$output"
grep -q '^area *9\.000000$' <<<"$output"
