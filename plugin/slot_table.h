#ifndef LISAFS_PLUGIN_SLOT_TABLE_H_
#define LISAFS_PLUGIN_SLOT_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lisafs {

// Gives each value a number by which it is found again in constant time. A number is a slot and how often the slot was
// used before: a number that was given back finds nothing, even when its slot has a new value. The first number is 1; 0
// is never given. Not for several threads at once.
template <typename T>
class SlotTable {
 public:
  uint64_t Add(T value) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    uint32_t index = free_.back();
    free_.pop_back();
    Slot& slot = slots_[index];
    slot.value = std::move(value);
    slot.used = true;
    return Number(index, slot.generation);
  }

  // Until the next Add or Remove; nullptr for a number that is not in use.
  T* Find(uint64_t number) {
    uint32_t index = static_cast<uint32_t>(number) - 1;
    if (index >= slots_.size()) return nullptr;
    Slot& slot = slots_[index];
    return slot.used && Number(index, slot.generation) == number ? &slot.value : nullptr;
  }

  // What the number stood for; a default T if it is not in use.
  T Remove(uint64_t number) {
    T* found = Find(number);
    if (found == nullptr) return T();
    uint32_t index = static_cast<uint32_t>(number) - 1;
    free_.push_back(index);
    slots_[index].used = false;
    ++slots_[index].generation;
    return std::exchange(*found, T());
  }

  size_t size() const { return slots_.size() - free_.size(); }

 private:
  struct Slot {
    T value{};
    uint32_t generation = 0;
    bool used = false;
  };
  static uint64_t Number(uint32_t index, uint32_t generation) { return uint64_t{generation} << 32 | (index + 1); }

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_SLOT_TABLE_H_
