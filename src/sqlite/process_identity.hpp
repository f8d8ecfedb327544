// Who holds a lease, as a process of this machine: so that the lease of a process that is dead can be taken at once.
#pragma once

#include <string>

namespace embedjobs::sqlite {

/// "boot id/pid namespace/pid/start time" of this process. The start time tells a reused pid apart. Empty where /proc
/// does not say.
std::string this_process(const std::string& boot_id);

/// False only when it is certain that the process is gone: same boot, same pid namespace, and no such pid, a zombie, or
/// one that started at another time. Whatever can't be told (another container, another format, a hidden /proc) counts
/// as alive, and its lease runs out by time.
bool process_alive(const std::string& identity, const std::string& boot_id);

}  // namespace embedjobs::sqlite
