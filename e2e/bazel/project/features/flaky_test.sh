#!/bin/bash
# Fails one time in three.
[ $((RANDOM % 3)) != 0 ]
