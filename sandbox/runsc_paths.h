#ifndef LISAFS_SANDBOX_RUNSC_PATHS_H_
#define LISAFS_SANDBOX_RUNSC_PATHS_H_

// What the programs have agreed on that make runsc run on lisafs's gofer: lisafs-runtime, lisafs-runsc and the stand-in
// for runsc's gofer. The paths are in the mount namespace that lisafs-runtime made for one runsc: what runsc starts
// there finds them whatever environment it is given.

namespace lisafs {

inline constexpr char kRunscProgram[] = "/run/lisafs/mnt/runsc";        // A symbolic link to runsc.
inline constexpr char kRunscArguments[] = "/run/lisafs/mnt/arguments";  // lisafs-runtime's, a zero byte after each.
inline constexpr char kRunscUserNamespace[] = "/run/lisafs/mnt/user";   // As /proc/self/ns/user, lisafs-runtime's.
inline constexpr char kRunscScratch[] = "/run/lisafs/mnt/rootfs";       // An empty directory to mount on.

// argv[0] of the runsc that an engine asked for, and the one that runsc gives its gofer; other parts of runsc have
// others.
inline constexpr char kRunscName[] = "runsc";
inline constexpr char kRunscGoferName[] = "runsc-gofer";

// The program that takes runsc's place, and, beside it, the one that stands in for the gofer.
inline constexpr char kRunscLoader[] = "lisafs-runsc";
inline constexpr char kRunscStandIn[] = "lisafs-runtime-sandbox";

}  // namespace lisafs

#endif  // LISAFS_SANDBOX_RUNSC_PATHS_H_
