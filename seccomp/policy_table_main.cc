#include <stdio.h>

#include "seccomp/policy_table.h"

int main() { return fputs(lisafs::PolicyTables().c_str(), stdout) < 0 ? 1 : 0; }
