#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

/* Zeroed memory, or the end of the program. */
void *allocate(size_t size);

#endif
