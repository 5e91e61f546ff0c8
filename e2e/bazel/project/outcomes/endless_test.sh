#!/bin/bash
# Children that ignore polite signals, so that only the end of the whole tree ends the test.
echo "printed before the time was up"
(trap '' TERM; sleep 3600) &
trap '' TERM
sleep 3600
echo "printed after an hour"
