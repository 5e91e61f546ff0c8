#!/bin/bash
# split_by_letter.sh WORDS OUT: one folder in OUT for each first letter, in it one file with the words of each length.
set -euo pipefail
words=$1
out=$2

while read -r word; do
  mkdir -p "$out/${word:0:1}"
  echo "$word" >>"$out/${word:0:1}/${#word}.txt"
done <"$words"
: >"$out/empty.txt"
mkdir -p "$out/empty-folder"
