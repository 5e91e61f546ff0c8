#include "memory.h"

#include <stdio.h>
#include <stdlib.h>

void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory) {
		fputs("words: out of memory\n", stderr);
		exit(1);
	}
	return memory;
}
