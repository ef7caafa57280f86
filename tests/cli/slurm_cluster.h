// A Slurm of one node on this machine, with Debian's own programs (slurm-wlm, munge), for the time of a test. Keys,
// configuration, logs and state are in a folder of its own; nothing of the machine's is touched.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cli/program.h"

namespace kvpress::test {

class SlurmCluster {
 public:
  /// "" when what it takes is there, else what is missing: a program, or the control groups that slurmd looks for,
  /// which a bare chroot has not.
  static std::string missing() {
    for (const char* it : {"munged", "slurmctld", "slurmd", "sbatch", "sinfo", "squeue"}) {
      if (!shell(fmt::format("command -v {} >/dev/null", it))) return it;
    }
    const char* const control_groups = "/sys/fs/cgroup";
    return std::filesystem::exists(control_groups) ? "" : control_groups;
  }

  /// Starts it; ready() tells whether it came up. Sets SLURM_CONF for what the test starts.
  SlurmCluster() {
    using std::filesystem::permissions;
    using std::filesystem::perms;
    const std::string folder = folder_.path().string();
    for (const char* it : {"state", "spool", "munge"}) std::filesystem::create_directory(folder_.path() / it);
    permissions(folder_.path(), perms::owner_all | perms::group_exec | perms::others_exec);
    permissions(folder_.path() / "munge", perms::owner_all | perms::group_exec | perms::others_exec);
    std::random_device random;
    std::string key;
    for (int i = 0; i < 1024; ++i) key += static_cast<char>(random());
    write("munge/key", key);
    permissions(folder_.path() / "munge/key", perms::owner_read);
    std::string host(256, '\0');
    ::gethostname(host.data(), host.size() - 1);
    host = host.substr(0, std::min(host.find('\0'), host.find('.')));
    write("slurm.conf", fmt::format("ClusterName=test\n"
                                    "SlurmctldHost={host}(127.0.0.1)\n"
                                    "SlurmUser={user}\n"
                                    "SlurmdUser={user}\n"
                                    "AuthType=auth/munge\n"
                                    "AuthInfo=socket={folder}/munge/socket\n"
                                    "CredType=cred/munge\n"
                                    "SlurmctldPort={controller}\n"
                                    "SlurmdPort={daemon}\n"
                                    "StateSaveLocation={folder}/state\n"
                                    "SlurmdSpoolDir={folder}/spool\n"
                                    "SlurmctldPidFile={folder}/slurmctld.pid\n"
                                    "SlurmdPidFile={folder}/slurmd.pid\n"
                                    "ProctrackType=proctrack/linuxproc\n"
                                    "TaskPlugin=task/none\n"
                                    "SwitchType=switch/none\n"
                                    "MpiDefault=none\n"
                                    "SelectType=select/cons_tres\n"
                                    "SelectTypeParameters=CR_Core\n"
                                    "JobAcctGatherType=jobacct_gather/none\n"
                                    "AccountingStorageType=accounting_storage/none\n"
                                    "NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN\n"
                                    "PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP\n",
                                    fmt::arg("host", host), fmt::arg("user", user()), fmt::arg("folder", folder),
                                    fmt::arg("controller", free_port()), fmt::arg("daemon", free_port()),
                                    fmt::arg("cores", std::thread::hardware_concurrency())));
    ::setenv("SLURM_CONF", (folder + "/slurm.conf").c_str(), 1);  // NOLINT(concurrency-mt-unsafe): one thread
    start(fmt::format("munged --foreground --force --key-file={0}/munge/key --socket={0}/munge/socket "
                      "--pid-file={0}/munge/pid --seed-file={0}/munge/seed",
                      folder),
          "munged");
    wait_for(fmt::format("test -S {}/munge/socket", folder), 10);
    start("slurmctld -D -c", "slurmctld");
    start("slurmd -D -c", "slurmd");
    ready_ = wait_for("sinfo -h -o %T 2>/dev/null | grep -q idle", 30);
  }
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;
  ~SlurmCluster() {
    shell("scancel --state=PENDING,RUNNING --user=$(id -un) 2>/dev/null");
    for (auto it = daemons_.rbegin(); it != daemons_.rend(); ++it) ::kill(*it, SIGTERM);
    for (const pid_t it : daemons_) ::waitpid(it, nullptr, 0);
    ::unsetenv("SLURM_CONF");  // NOLINT(concurrency-mt-unsafe)
  }

  bool ready() const { return ready_; }
  /// False when jobs are still there after so many seconds.
  bool wait_for_jobs(int seconds) const { return wait_for("test -z \"$(squeue -h)\"", seconds); }
  std::string logs() const {
    std::string text;
    for (const char* it : {"munged", "slurmctld", "slurmd"}) text += content_of(folder_.path() / it);
    return text;
  }

 private:
  static bool shell(const std::string& command) { return std::system(command.c_str()) == 0; }  // NOLINT
  static bool wait_for(const std::string& command, int seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!shell(command)) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return true;
  }
  static std::string user() {
    const TemporaryFolder folder;
    shell("id -un > " + (folder.path() / "name").string());
    std::ifstream file(folder.path() / "name");
    std::string name;
    file >> name;
    return name;
  }
  static int free_port() {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(socket, reinterpret_cast<sockaddr*>(&address), size);
    ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
    ::close(socket);
    return ntohs(address.sin_port);
  }
  void write(const char* name, const std::string& text) const {
    std::ofstream(folder_.path() / name, std::ios::binary) << text;
  }
  void start(const std::string& command, const char* log) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const std::string line = fmt::format("exec {} >{} 2>&1", command, (folder_.path() / log).string());
      ::execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    daemons_.push_back(pid);
  }

  TemporaryFolder folder_;
  std::vector<pid_t> daemons_;
  bool ready_ = false;
};

}  // namespace kvpress::test
