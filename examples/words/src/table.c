#include "table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

static uint64_t hash(const char *word, size_t length)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)word[i]) * 1099511628211u;
	return hash;
}

static struct entry *find(struct table *table, const char *word, size_t length)
{
	size_t at = hash(word, length) & (table->capacity - 1);

	for (;; at = (at + 1) & (table->capacity - 1)) {
		struct entry *entry = &table->entries[at];

		if (!entry->word)
			return entry;
		if (strlen(entry->word) == length && !memcmp(entry->word, word, length))
			return entry;
	}
}

static void grow(struct table *table)
{
	struct table larger = { .capacity = table->capacity ? table->capacity * 2 : 64 };

	larger.entries = allocate(larger.capacity * sizeof(*larger.entries));
	for (size_t i = 0; i < table->capacity; i++) {
		struct entry *entry = &table->entries[i];

		if (entry->word)
			*find(&larger, entry->word, strlen(entry->word)) = *entry;
	}
	larger.used = table->used;
	free(table->entries);
	*table = larger;
}

void table_add(struct table *table, const char *word, size_t length)
{
	struct entry *entry;

	if (table->used * 2 >= table->capacity)
		grow(table);
	entry = find(table, word, length);
	if (!entry->word) {
		entry->word = allocate(length + 1);
		memcpy(entry->word, word, length);
		table->used++;
	}
	entry->count++;
}

static int by_count(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->word, y->word);
}

size_t table_sort(struct table *table)
{
	size_t used = 0;

	for (size_t i = 0; i < table->capacity; i++)
		if (table->entries[i].word)
			table->entries[used++] = table->entries[i];
	qsort(table->entries, used, sizeof(*table->entries), by_count);
	return used;
}

void table_free(struct table *table)
{
	free(table->entries);
}
