#ifndef LISAFS_GOFER_HANDLERS_H_
#define LISAFS_GOFER_HANDLERS_H_

#include "lisafs/handler_table.h"

namespace lisafs {

// The messages that the gofer serves on host files. Each function adds a file's worth of them; all want connections
// whose mount is a HostMount.
void ServeWalking(HandlerTable& table);     // Walk, WalkStat.
void ServeOpening(HandlerTable& table);     // OpenAt, OpenCreateAt, OpenUnnamed.
void ServeData(HandlerTable& table);        // PRead, PWrite, FSync, FDataSync, FAllocate, Seek, CopyFileRange.
void ServeAttributes(HandlerTable& table);  // FStat, SetStat, FStatFS, ReadLinkAt.
void ServeCreating(HandlerTable& table);    // MkdirAt, MknodAt, MakeNodeAt, SymlinkAt, LinkAt.
void ServeNames(HandlerTable& table);       // UnlinkAt, RenameAt, RenameAt2.
void ServeListing(HandlerTable& table);     // Getdents64, ListStat.
void ServeSockets(HandlerTable& table);     // Connect, ConnectWithCreds, BindAt, Listen, Accept.
void ServeXattrs(HandlerTable& table);      // FGetXattr, FSetXattr, FListXattr, FRemoveXattr.

// Only with a broker, and not among those below.
void ServeBacking(HandlerTable& table);  // OpenBacking.
// Only with a watcher.
void ServeWatching(HandlerTable& table);  // Subscribe, Watch.

inline void ServeHostFiles(HandlerTable& table) {
  ServeWalking(table);
  ServeOpening(table);
  ServeData(table);
  ServeAttributes(table);
  ServeCreating(table);
  ServeNames(table);
  ServeListing(table);
  ServeSockets(table);
  ServeXattrs(table);
}

}  // namespace lisafs

#endif  // LISAFS_GOFER_HANDLERS_H_
