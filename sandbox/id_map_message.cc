#include "sandbox/id_map_message.h"

namespace lisafs {
namespace {

using Messages = google::protobuf::RepeatedPtrField<control::v1::IdRange>;

void AddRanges(const std::vector<IdRange>& ranges, Messages& messages) {
  for (const IdRange& range : ranges) {
    control::v1::IdRange& message = *messages.Add();
    message.set_inside(range.inside);
    message.set_outside(range.outside);
    message.set_count(range.count);
  }
}

std::vector<IdRange> RangesFrom(const Messages& messages) {
  std::vector<IdRange> ranges;
  for (const control::v1::IdRange& message : messages) {
    ranges.push_back({message.inside(), message.outside(), message.count()});
  }
  return ranges;
}

}  // namespace

control::v1::IdMap ToMessage(const IdMap& map) {
  control::v1::IdMap message;
  AddRanges(map.uids, *message.mutable_uids());
  AddRanges(map.gids, *message.mutable_gids());
  return message;
}

IdMap FromMessage(const control::v1::IdMap& message) {
  return {RangesFrom(message.uids()), RangesFrom(message.gids())};
}

}  // namespace lisafs
