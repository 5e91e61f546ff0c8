#!/bin/bash
echo "a line on standard output"
echo "a line on standard error" >&2
exit 42
