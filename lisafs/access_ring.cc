#include "lisafs/access_ring.h"

#include <string.h>

#include <algorithm>

namespace lisafs {

// What is being overwritten lies at most a record beyond `end`: so a reader that looks at `end` again when it has read
// knows what of it was whole.
void AccessRingWriter::Append(uint16_t mount, uint16_t what, std::string_view path) {
  ring_.records.store(++records_, std::memory_order_relaxed);
  if (path.size() > kMaxAccessPath) path = "";
  const AccessRecord record = {
      .path_length = static_cast<uint16_t>(path.size()), .what = what, .mount = mount, .padding = 0};
  Write(&record, sizeof record);
  Write(path.data(), path.size());
  ring_.end.store(end_, std::memory_order_release);
}

void AccessRingWriter::Write(const void* from, size_t size) {
  const size_t place = end_ % AccessRing::kSize;
  const size_t first = std::min(size, AccessRing::kSize - place);
  memcpy(ring_.bytes + place, from, first);
  memcpy(ring_.bytes, static_cast<const std::byte*>(from) + first, size - first);
  end_ += size;
}

}  // namespace lisafs
