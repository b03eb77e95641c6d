#ifndef LISAFS_CONTROL_TABLE_H_
#define LISAFS_CONTROL_TABLE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

// What lisafsctl shows to a person.

namespace lisafs {

// Columns two spaces apart, as wide as their widest cell. Control characters in cells are escaped.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell for each column.
  void AddRow(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  // A line for the titles and one for each row, without trailing spaces.
  std::string ToString() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "12,345".
std::string FormatCount(uint64_t count);
// "512 B", "1.5 KiB", "20 GiB".
std::string FormatBytes(uint64_t bytes);
// "850 ns", "1.2 us", "35 ms", "2.0 s".
std::string FormatNanoseconds(uint64_t nanoseconds);
// "5s", "12m", "3h", "40d".
std::string FormatAge(std::chrono::seconds age);

}  // namespace lisafs

#endif  // LISAFS_CONTROL_TABLE_H_
