#pragma once

namespace gauge {

extern const int prime_table[];
extern const int prime_table_length;

}  // namespace gauge
