// Writes the primes below a limit as C++ code.
#include <cstdio>
#include <cstdlib>

#include "numbers/primes.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s LIMIT\n", argv[0]);
    return 2;
  }
  const auto primes = gauge::primes_below(std::atoi(argv[1]));
  std::printf("#include \"numbers/prime_table.h\"\n\nnamespace gauge {\n\nconst int prime_table[] = {");
  for (size_t i = 0; i < primes.size(); ++i) std::printf("%s%d,", i % 12 == 0 ? "\n    " : " ", primes[i]);
  std::printf("\n};\nconst int prime_table_length = %zu;\n\n}  // namespace gauge\n", primes.size());
  return 0;
}
