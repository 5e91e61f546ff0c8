#ifndef READER_H
#define READER_H

#include <stdio.h>

#include "table.h"

void read_words(FILE *from, struct table *table);

#endif
