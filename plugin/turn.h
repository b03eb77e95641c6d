#ifndef LISAFS_PLUGIN_TURN_H_
#define LISAFS_PLUGIN_TURN_H_

namespace lisafs {

// Before the calling thread waits for something that may take long: if it is its turn to read the kernel's requests
// (plugin/mount.h), that goes to another thread. On other threads it does nothing.
void GiveTurnAway();

// What takes turns; a thread says that it is one.
class TakesTurns {
 public:
  TakesTurns();
  TakesTurns(const TakesTurns&) = delete;
  TakesTurns& operator=(const TakesTurns&) = delete;

 protected:
  ~TakesTurns();

 private:
  friend void GiveTurnAway();
  virtual void GiveAway() = 0;
};

}  // namespace lisafs

#endif  // LISAFS_PLUGIN_TURN_H_
