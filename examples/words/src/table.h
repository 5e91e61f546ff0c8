#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>

struct entry {
	char *word;
	size_t count;
};

struct table {
	struct entry *entries;
	size_t capacity; /* a power of two */
	size_t used;
};

void table_add(struct table *table, const char *word, size_t length);
/* Its entries, the most frequent first, without gaps. */
size_t table_sort(struct table *table);
void table_free(struct table *table);

#endif
