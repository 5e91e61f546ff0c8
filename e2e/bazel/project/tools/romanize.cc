// One Roman numeral a line for every number given.
#include <cstdio>
#include <cstdlib>

#include "numbers/roman.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) std::printf("%s\n", gauge::to_roman(std::atoi(argv[i])).c_str());
  return 0;
}
