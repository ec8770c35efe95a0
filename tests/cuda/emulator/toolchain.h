// The way from CUDA C++ to something that runs: text with its includes in place, which stands for PTX, and that compiled
// with the host's compiler into a library that is kept under its hash.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace toolchain {

/// The beginning of a text that stands for PTX; the architecture and the CUDA version follow.
constexpr const char *MARK = "//CUDASIM ";

inline std::string setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

inline std::string home() { return setting("CUDASIM_HOME", CUDASIM_HOME); }
inline std::string cache() { return setting("CUDASIM_CACHE", (home() + "/../cache").c_str()); }
inline std::string compiler() { return setting("CUDASIM_CXX", "g++"); }

inline std::string slurp(const std::string &path)
{
    std::ifstream in(path, std::ios::binary);
    std::stringstream all;
    all << in.rdbuf();
    return all.str();
}

inline bool run(const std::string &command, std::string *log, const std::string &scratch)
{
    // What the program is started with is not for the compiler.
    int status = system(("env -u LD_LIBRARY_PATH -u LD_PRELOAD " + command + " 2>" + scratch + ".log").c_str());
    if (log) *log = slurp(scratch + ".log");
    unlink((scratch + ".log").c_str());
    return status == 0;
}

inline std::string scratch()
{
    static int count = 0;
    system(("mkdir -p " + cache()).c_str());
    return cache() + "/" + std::to_string(getpid()) + "-" + std::to_string(count++);
}

/// Preprocesses a source. False, and the compiler's messages, if that fails.
inline bool preprocess(const std::string &source, const std::vector<std::string> &includes, const std::string &architecture,
    std::string *text, std::string *log)
{
    std::string at = scratch();
    std::ofstream(at + ".cu") << source;
    std::string digits;
    for (char c : architecture) if (c >= '0' && c <= '9') digits += c;
    std::string command = compiler() + " -E -P -x c++ -std=c++17 -nostdinc -D__WORDSIZE=64 -D__CUDACC__ -D__CUDA_ARCH__=" + digits + "0";
    for (auto &include : includes) command += " -I'" + include + "'";
    bool ok = run(command + " '" + at + ".cu' -o '" + at + ".i'", log, at);
    *text = MARK + architecture + " " + setting("CUDASIM_TOOLKIT", "13000") + "\n" + slurp(at + ".i");
    unlink((at + ".cu").c_str());
    unlink((at + ".i").c_str());
    return ok;
}

/// The names after `__global__ void`.
inline std::set<std::string> kernels(const std::string &text)
{
    std::set<std::string> names;
    for (size_t at = 0; (at = text.find("__global__", at)) != std::string::npos;) {
        at += 10;
        size_t end = text.find('(', at);
        size_t begin = text.find_last_of(" \t\n", text.find_last_not_of(" \t\n", end - 1));
        std::string name = text.substr(begin + 1, end - begin - 1);
        names.insert(name.substr(0, name.find_last_not_of(" \t\n") + 1));
    }
    return names;
}

/// Compiles a text to a library and returns its path. Empty, and the compiler's messages, if that fails.
inline std::string library(const std::string &text, std::string *log)
{
    std::string source = "#include \"" + home() + "/device.h\"\n" + text + "\n";
    for (auto &name : kernels(text)) source += "CUDASIM_KERNEL(" + name + ")\n";
    uint64_t hash = 1469598103934665603ull;
    for (char c : source + slurp(home() + "/device.h")) hash = (hash ^ (unsigned char)c) * 1099511628211ull;
    char name[32];
    snprintf(name, sizeof name, "/%016llx.so", (unsigned long long)hash);
    std::string path = cache() + name;
    if (access(path.c_str(), R_OK) == 0) return path;
    std::string at = scratch();
    std::ofstream(at + ".cpp") << source;
    bool ok = run(compiler() + " -std=c++17 -O2 -march=native -ffp-contract=fast -fno-strict-aliasing -fPIC -shared -w -fpermissive '" + at +
            ".cpp' -o '" + at + ".so'", log, at);
    if (!getenv("CUDASIM_KEEP")) unlink((at + ".cpp").c_str());
    if (!ok) return "";
    rename((at + ".so").c_str(), path.c_str());
    return path;
}

} // namespace toolchain
