#include "plugin/turn.h"

namespace lisafs {
namespace {

thread_local TakesTurns* this_thread = nullptr;

}  // namespace

TakesTurns::TakesTurns() { this_thread = this; }
TakesTurns::~TakesTurns() { this_thread = nullptr; }

void GiveTurnAway() {
  if (this_thread != nullptr) this_thread->GiveAway();
}

}  // namespace lisafs
