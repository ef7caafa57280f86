// A Slurm of one node on this machine, with Debian's own programs (slurm-wlm, munge), for the time of a test. Keys,
// configuration, logs and state are in a folder of its own; nothing of the machine's is touched.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "cli/program.h"

namespace kvpress::test {

class SlurmCluster {
 public:
  /// Starts it; ready() tells whether it came up, which only trying can tell: slurmd wants control groups of one kind
  /// or another, and containers differ in what they show of them. Sets SLURM_CONF for what the test starts.
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
    ready_ = start_node();
    if (ready_) return;
    why_not_ = reason();
    // Since version 23.11 slurmd does without control groups, when told to.
    write("cgroup.conf", "CgroupPlugin=disabled\n");
    if (has_ended("slurmd") && !has_ended("slurmctld")) ready_ = start_node();
  }
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;
  ~SlurmCluster() {
    shell("scancel --state=PENDING,RUNNING --user=$(id -un) 2>/dev/null");
    for (const char* it : {"slurmd", "slurmctld", "munged"}) {
      if (!has_ended(it)) ::kill(daemons_.at(it), SIGTERM);
    }
    for (const auto& [name, pid] : daemons_) {
      if (pid > 0) ::waitpid(pid, nullptr, 0);
    }
    ::unsetenv("SLURM_CONF");  // NOLINT(concurrency-mt-unsafe)
  }

  bool ready() const { return ready_; }
  /// What the first daemon that ended said, or what was waited for in vain.
  const std::string& why_not() const { return why_not_; }
  /// False when jobs are still there after so many seconds.
  bool wait_for_jobs(int seconds) { return wait_for("test -z \"$(squeue -h)\"", seconds); }
  std::string logs() const {
    std::string text;
    for (const char* it : kDaemons) text += content_of(folder_.path() / it);
    return text;
  }

 private:
  static bool shell(const std::string& command) { return std::system(command.c_str()) == 0; }  // NOLINT
  /// Not once a daemon has ended.
  bool wait_for(const std::string& command, int seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!shell(command)) {
      for (const char* it : kDaemons) {
        if (daemons_.contains(it) && has_ended(it)) return false;
      }
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
  void start(const std::string& command, const char* name) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const std::string line = fmt::format("exec {} >{} 2>&1", command, (folder_.path() / name).string());
      ::execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    daemons_[name] = pid;
  }
  bool start_node() {
    start("slurmd -D -c", "slurmd");
    return wait_for("sinfo -h -o %T 2>/dev/null | grep -q idle", 30);
  }
  bool has_ended(const std::string& name) {
    pid_t& pid = daemons_.at(name);
    if (pid > 0 && ::waitpid(pid, nullptr, WNOHANG) == pid) pid = 0;
    return pid == 0;
  }
  std::string reason() {
    for (const char* it : kDaemons) {
      if (has_ended(it)) return fmt::format("{}: {}", it, first_error(folder_.path() / it));
    }
    return "no node was idle after 30 seconds";
  }
  /// Of a log; its last line when none looks like one.
  static std::string first_error(const std::filesystem::path& log) {
    std::ifstream file(log);
    std::string last;
    for (std::string line; std::getline(file, line);) {
      if (line.find("rror: ") != std::string::npos || line.find("fatal: ") != std::string::npos) return line;
      if (!line.empty()) last = line;
    }
    return last;
  }

  static constexpr const char* kDaemons[] = {"munged", "slurmctld", "slurmd"};  // in the order that they start in
  TemporaryFolder folder_;
  std::map<std::string, pid_t> daemons_;  // 0 when one has ended
  bool ready_ = false;
  std::string why_not_;
};

}  // namespace kvpress::test
