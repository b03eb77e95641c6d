#include "lisafs/handler_table.h"

namespace lisafs {

void HandlerTable::Set(Mid mid, Handler handler, Effect effect) { entries_[MessageIndex(mid)] = {handler, effect}; }

const HandlerTable::Entry& HandlerTable::Find(uint16_t mid) const {
  static constexpr Entry kNotServed;
  int index = MessageIndex(mid);
  return index < 0 ? kNotServed : entries_[index];
}

std::vector<uint16_t> HandlerTable::Supported() const {
  std::vector<uint16_t> supported;
  for (Mid mid : kAllMids) {
    if (entries_[MessageIndex(mid)].handler != nullptr) supported.push_back(static_cast<uint16_t>(mid));
  }
  return supported;
}

}  // namespace lisafs
