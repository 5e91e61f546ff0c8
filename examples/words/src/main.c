#include <stdio.h>
#include <string.h>

#include "reader.h"
#include "table.h"
#include "version.h"

int main(int argc, char **argv)
{
	struct table table = { 0 };
	size_t count;

	if (argc > 1 && !strcmp(argv[1], "--version")) {
		puts("words " VERSION);
		return 0;
	}
	read_words(stdin, &table);
	count = table_sort(&table);
	for (size_t i = 0; i < count && i < 10; i++)
		printf("%7zu %s\n", table.entries[i].count, table.entries[i].word);
	table_free(&table);
	return 0;
}
