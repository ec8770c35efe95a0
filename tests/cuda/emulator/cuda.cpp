// The driver: devices, contexts, memory, streams, events, modules and launches, all on the CPU. README.md lists the
// variables of the environment.
#include "toolchain.h"
#include "cudasim.h"
#include <algorithm>
#include <cstring>
#include <csetjmp>
#include <csignal>
#include <ctime>
#include <deque>
#include <dlfcn.h>
#include <map>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <unordered_map>

namespace {

using toolchain::setting;

enum Error {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, DEINITIALIZED = 4, NO_DEVICE = 100,
    INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201, INVALID_PTX = 218, UNSUPPORTED_PTX_VERSION = 222,
    INVALID_HANDLE = 400, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700
};

const std::map<int, std::pair<const char *, const char *>> ERRORS = {
    {0, {"CUDA_SUCCESS", "no error"}},
    {1, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
    {2, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
    {3, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
    {4, {"CUDA_ERROR_DEINITIALIZED", "driver shutting down"}},
    {46, {"CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"}},
    {100, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
    {101, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
    {200, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
    {201, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
    {209, {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"}},
    {214, {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"}},
    {218, {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"}},
    {222, {"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."}},
    {400, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
    {500, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
    {700, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
    {710, {"CUDA_ERROR_ASSERT", "device-side assert triggered"}},
    {719, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
    {803, {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"}},
    {804, {"CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "forward compatibility was attempted on non supported HW"}},
    {999, {"CUDA_ERROR_UNKNOWN", "unknown error"}},
};

/// Whether the error makes a context useless.
bool corrupts(int error) { return error == 214 || (error >= 700 && error < 720 && error != 701) || error == 999; }

uint64_t number(const char *name, uint64_t otherwise) { return strtoull(setting(name, std::to_string(otherwise).c_str()).c_str(), nullptr, 10); }

const int DEVICES = number("CUDASIM_DEVICES", 1);
const int CAPABILITY = number("CUDASIM_CAPABILITY", 90);
const int DRIVER = number("CUDASIM_DRIVER", 13000);
const uint64_t MEMORY = number("CUDASIM_MEMORY", 150754820096);
const bool GUARD = number("CUDASIM_GUARD", 0), POISON = number("CUDASIM_POISON", 1), BACKWARDS = number("CUDASIM_BACKWARDS", 0);
/// After so many launches nothing is computed any more; 0: all is.
const uint64_t DRY = number("CUDASIM_DRY", 0);
uint64_t launched;
const bool STRICT = number("CUDASIM_STRICT", 1), TRACE = number("CUDASIM_TRACE", 0);
/// 1: work is done when it is waited for, and that of side streams last; 2: that of side streams first.
const int LAZY = number("CUDASIM_LAZY", 0);

std::recursive_mutex everything;
typedef std::lock_guard<std::recursive_mutex> Lock;
bool initialized, over;
/// The error that a corrupted context answers everything with.
int lost;

double now()
{
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

int complaints;

[[gnu::format(printf, 1, 2)]] void complain(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    complaints++;
    fprintf(stderr, "CUDASIM: ");
    vfprintf(stderr, format, rest);
    fprintf(stderr, "\n");
    va_end(rest);
    if (complaints > 200) _exit(77);
}

// Counts.

struct Count {
    uint64_t calls = 0, bytes = 0;
    double seconds = 0, flops = 0, device = 0;
};
std::map<std::string, Count> calls, launches, products, copies;
uint64_t live_bytes, most_bytes, allocations;

/// Seconds of an H200: 4.8 TB/s, 67 TFLOP/s, and at least the time of an empty launch.
double roofline(double bytes, double flops) { return std::max({bytes / 4.8e12, flops / 67e12, 2e-6}); }

// Injected failures.

struct Failure {
    std::string function;
    uint64_t first;
    bool always;
    int error;
};

std::vector<Failure> failures()
{
    std::vector<Failure> all;
    std::stringstream list(setting("CUDASIM_FAIL", ""));
    for (std::string one; std::getline(list, one, ',');) {
        size_t a = one.find(':'), b = one.find(':', a + 1);
        if (b == std::string::npos) continue;
        std::string when = one.substr(a + 1, b - a - 1);
        all.push_back({one.substr(0, a), strtoull(when.c_str(), nullptr, 10), when.back() == '+', atoi(one.c_str() + b + 1)});
    }
    return all;
}
std::vector<Failure> to_fail = failures();

int injected(const std::string &function, uint64_t call)
{
    for (auto &failure : to_fail)
        if (failure.function == function && (call == failure.first || (failure.always && call > failure.first))) {
            fprintf(stderr, "CUDASIM: call %llu of %s fails with %d, as asked\n", (unsigned long long)call, function.c_str(), failure.error);
            return failure.error;
        }
    return SUCCESS;
}

// Contexts.

struct Stream;
struct Context {
    int device;
    int retained;
    Stream *null_stream;
};
std::map<int, Context> contexts;
thread_local Context *current;

enum Needs { NOTHING, DRIVER_UP, CONTEXT };

int enter(const char *function, Needs needs)
{
    if (over) return DEINITIALIZED;
    Count &count = calls[function];
    count.calls++;
    if (TRACE) fprintf(stderr, "CUDASIM: %s\n", function);
    if (int error = injected(function, count.calls)) {
        if (corrupts(error) && needs == CONTEXT) lost = error;
        return error;
    }
    if (needs >= DRIVER_UP && !initialized) return NOT_INITIALIZED;
    if (needs == CONTEXT && (!current || !current->retained)) {
        complain("%s without a current context", function);
        return INVALID_CONTEXT;
    }
    if (needs == CONTEXT && lost) return lost;
    return SUCCESS;
}

#define ENTRY(needs)                                      \
    Lock lock(everything);                                \
    if (int error = enter(__func__, needs)) return error

// Memory.

struct Block {
    uintptr_t address;
    size_t size;
    char *mapped;
    size_t mapped_size;
    int device;
    bool freeing;
};
std::map<uintptr_t, Block> blocks;
std::deque<Block> gone;
std::unordered_map<size_t, std::vector<char *>> spare;
constexpr size_t ZONE = 256, PAGE = 4096;

size_t rounded(size_t size)
{
    if (size <= 4096) return (size + 255) & ~size_t(255);
    size_t step = size_t(1) << (63 - __builtin_clzll(size) - 3);
    return (size + step - 1) & ~(step - 1);
}

Block *block_of(uintptr_t address)
{
    auto after = blocks.upper_bound(address);
    if (after == blocks.begin()) return nullptr;
    Block &block = std::prev(after)->second;
    return address <= block.address + block.size ? &block : nullptr;
}

std::string story(uintptr_t address)
{
    char text[200];
    auto after = blocks.upper_bound(address);
    if (after != blocks.begin()) {
        Block &block = std::prev(after)->second;
        if (address < block.address + block.size + (1 << 20)) {
            snprintf(text, sizeof text, "byte %zd of %zu in use", ssize_t(address - block.address), block.size);
            return text;
        }
    }
    for (auto &block : gone)
        if (address >= block.address && address < block.address + std::max<size_t>(block.size, 1)) {
            snprintf(text, sizeof text, "byte %zu of %zu that were freed", size_t(address - block.address), block.size);
            return text;
        }
    return address ? "no memory of the device" : "null";
}

bool usable(uintptr_t address, size_t bytes, const char *what)
{
    if (!STRICT) return true;
    Block *block = block_of(address);
    if (bytes == 0 || (block && !block->freeing && address + bytes <= block->address + block->size)) return true;
    complain("%s: %zu bytes at %#zx are not in use (%s)", what, bytes, size_t(address), story(address).c_str());
    return false;
}

int take(size_t size, int device, uintptr_t *address)
{
    if (live_bytes + size > MEMORY) return OUT_OF_MEMORY;
    Block block{0, size, nullptr, 0, device, false};
    if (GUARD) {
        block.mapped_size = ((size + PAGE - 1) & ~(PAGE - 1)) + 2 * PAGE;
        block.mapped = static_cast<char *>(mmap(nullptr, block.mapped_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (block.mapped == MAP_FAILED) return OUT_OF_MEMORY;
        if (size) mprotect(block.mapped + PAGE, block.mapped_size - 2 * PAGE, PROT_READ | PROT_WRITE);
        // What lies behind the end is out of reach at once; what lies before the beginning, after a few bytes.
        block.address = uintptr_t(block.mapped + block.mapped_size - PAGE) - ((size + 15) & ~size_t(15));
    } else {
        block.mapped_size = rounded(size) + 2 * ZONE;
        auto &left = spare[block.mapped_size];
        if (!left.empty()) {
            block.mapped = left.back();
            left.pop_back();
        } else {
            block.mapped = static_cast<char *>(aligned_alloc(256, block.mapped_size));
            if (!block.mapped) return OUT_OF_MEMORY;
        }
        memset(block.mapped, 0xff, ZONE);
        memset(block.mapped + ZONE + size, 0xff, ZONE);
        block.address = uintptr_t(block.mapped + ZONE);
    }
    if (POISON) memset(reinterpret_cast<void *>(block.address), 0xff, size);
    blocks[block.address] = block;
    live_bytes += size;
    most_bytes = std::max(most_bytes, live_bytes);
    allocations++;
    *address = block.address;
    return SUCCESS;
}

void give(uintptr_t address)
{
    Block block = blocks.at(address);
    blocks.erase(address);
    live_bytes -= block.size;
    gone.push_front(block);
    if (GUARD) {
        madvise(block.mapped + PAGE, block.mapped_size - 2 * PAGE, MADV_DONTNEED);
        mprotect(block.mapped + PAGE, block.mapped_size - 2 * PAGE, PROT_NONE);
        if (gone.size() > 4000) {
            munmap(gone.back().mapped, gone.back().mapped_size);
            gone.pop_back();
        }
        return;
    }
    auto whole = [](const char *zone) { return std::all_of(zone, zone + ZONE, [](char byte) { return byte == char(0xff); }); };
    if (!whole(block.mapped)) complain("something wrote before the beginning of %zu bytes", block.size);
    if (!whole(block.mapped + ZONE + block.size)) complain("something wrote behind the end of %zu bytes", block.size);
    if (POISON && STRICT) memset(reinterpret_cast<void *>(block.address), 0xff, block.size);
    spare[block.mapped_size].push_back(block.mapped);
    if (gone.size() > 1000) gone.pop_back();
}

// Streams.

struct Event;
struct Work {
    std::function<void()> run;
    Stream *of;
    uint64_t until;
};
struct Stream {
    bool is_null;
    int device;
    uint64_t asked = 0, done = 0;
    std::deque<Work> queue;
    Stream(bool is_null, int device) : is_null(is_null), device(device) {}
};
struct Event {
    Stream *stream = nullptr;
    uint64_t position = 0;
    double time = 0;
};
std::vector<Stream *> streams;

void catch_up(Stream *stream, uint64_t until)
{
    while (stream->done < until) {
        Work work = std::move(stream->queue.front());
        stream->queue.pop_front();
        stream->done++;
        if (work.of) catch_up(work.of, work.until);
        if (work.run && !lost) work.run();
    }
}

void catch_up(Stream *stream) { catch_up(stream, stream->asked); }

void submit(Stream *stream, Work work)
{
    stream->asked++;
    stream->queue.push_back(std::move(work));
    bool late = LAZY == 1 || (LAZY == 2 && stream->is_null);
    if (!late) catch_up(stream);
}

void submit(Stream *stream, std::function<void()> run) { submit(stream, Work{std::move(run), nullptr, 0}); }

Stream *of(void *stream) { return stream ? static_cast<Stream *>(stream) : current->null_stream; }

// Modules and launches.

struct Function {
    std::string name;
    void (*run)(const void *);
    std::vector<int> parameters;
    void (*position)(unsigned *);
};
struct Module {
    void *library;
    std::map<std::string, std::unique_ptr<Function>> functions;
};

/// As device.h has it.
struct Launch {
    unsigned grid[3], block[3];
    void **arguments;
    int backwards;
    void (*tell)(const char *);
    void (*stop)(int error, const char *why);
};

const Function *at_work;
sigjmp_buf way_out;
std::map<std::string, int> told;

void tell(const char *what)
{
    if (told[at_work->name + what]++ == 0) complain("%s: %s", at_work->name.c_str(), what);
}

void stop(int error, const char *why)
{
    complain("%s: assertion failed: %s", at_work->name.c_str(), why);
    lost = error;
    siglongjmp(way_out, 1);
}

struct sigaction before_us;

void on_fault(int signal, siginfo_t *info, void *context)
{
    static bool here;
    if (!at_work || here) {
        before_us.sa_sigaction && !here ? before_us.sa_sigaction(signal, info, context) : _exit(139);
        return;
    }
    here = true;
    unsigned at[6];
    at_work->position(at);
    uintptr_t address = uintptr_t(info->si_addr);
    complain("%s: block (%u, %u, %u), thread (%u, %u, %u) touches %#zx (%s)", at_work->name.c_str(), at[0], at[1], at[2], at[3],
        at[4], at[5], size_t(address), story(address).c_str());
    if (getenv("CUDASIM_ABORT")) _exit(139);
    here = false;
    lost = ILLEGAL_ADDRESS;
    siglongjmp(way_out, 1);
}

/// A stack for the signal handler: that of a thread is too small to print from.
void room_for_faults()
{
    static thread_local char *room;
    if (room) return;
    room = static_cast<char *>(malloc(1 << 17));
    stack_t stack = {};
    stack.ss_sp = room, stack.ss_size = 1 << 17;
    sigaltstack(&stack, nullptr);
}

void run(const Function *function, const Launch &launch)
{
    room_for_faults();
    at_work = function;
    if (!sigsetjmp(way_out, 1)) function->run(&launch);
    at_work = nullptr;
}

/// The most bytes that a kernel moves: for each pointer, those to the end of its block. Of a table, only the gathered rows
/// count.
uint64_t traffic(const Function &function, void **arguments)
{
    uint64_t bytes = 0, most = UINT64_MAX;
    if (function.name.find("gather") == 0 || function.name.find("scatter_rows") == 0 || function.name.find("add_gathered") == 0)
        for (size_t at = 0; at < function.parameters.size(); at++)
            if (at + 1 == function.parameters.size() && function.parameters[at] == 8) most = 4 * *static_cast<uint64_t *>(arguments[at]);
    for (size_t at = 0; at < function.parameters.size(); at++) {
        if (function.parameters[at] >= 0) continue;
        uintptr_t address = *static_cast<uintptr_t *>(arguments[at]);
        if (Block *block = block_of(address)) bytes += std::min<uint64_t>(most, block->address + block->size - address);
    }
    return bytes;
}

void summary()
{
    const char *path = getenv("CUDASIM_STATS");
    if (!path) return;
    FILE *out = fopen(path, "w");
    if (!out) return;
    uint64_t all = 0;
    double device = 0, host = 0;
    for (auto &[name, count] : launches) all += count.calls, device += count.device;
    for (auto &[name, count] : products) all += count.calls, device += count.device;
    for (auto &[name, count] : calls) host += count.seconds;
    fprintf(out, "launches and products %llu, allocations %llu, most bytes in use %llu, complaints %d\n", (unsigned long long)all,
        (unsigned long long)allocations, (unsigned long long)most_bytes, complaints);
    fprintf(out, "an H200 by its roofline: %.6f s\n", device);
    auto table = [&](const char *title, std::map<std::string, Count> &of) {
        fprintf(out, "\n%s\n", title);
        std::vector<std::pair<std::string, Count>> rows(of.begin(), of.end());
        std::sort(rows.begin(), rows.end(), [](auto &a, auto &b) { return a.second.device != b.second.device ? a.second.device > b.second.device : a.second.calls > b.second.calls; });
        for (auto &[name, count] : rows)
            fprintf(out, "%10llu %14llu bytes %10.3f GFLOP %10.6f s on an H200 %9.3f s here  %s\n", (unsigned long long)count.calls,
                (unsigned long long)count.bytes, count.flops / 1e9, count.device, count.seconds, name.c_str());
    };
    table("calls", calls);
    table("kernels", launches);
    table("products", products);
    table("copies", copies);
    fclose(out);
}

struct AtEnd {
    ~AtEnd()
    {
        Lock lock(everything);
        summary();
        over = true;
    }
} at_end;

void copy(const char *kind, Stream *stream, uintptr_t to, uintptr_t from, size_t bytes)
{
    Count &count = copies[kind];
    count.calls++, count.bytes += bytes;
    submit(stream, [=] { memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes); });
}

} // namespace

// Functions for the other libraries.

extern "C" int cudasim_enter_library(const char *function)
{
    Lock lock(everything);
    if (over) return SUCCESS;
    calls[function].calls++;
    return injected(function, calls[function].calls);
}

extern "C" void *cudasim_current() { return current; }
extern "C" void *cudasim_stream(void *stream) { return of(stream); }
extern "C" int cudasim_lost() { return lost; }
extern "C" void cudasim_complain(const char *what) { complain("%s", what); }
extern "C" bool cudasim_usable(uint64_t address, uint64_t bytes, const char *what)
{
    Lock lock(everything);
    return usable(address, bytes, what);
}

void cudasim_submit(void *stream, std::function<void()> work)
{
    Lock lock(everything);
    if (!DRY || launched < DRY) submit(of(stream), std::move(work));
}

void cudasim_count_product(const std::string &name, double bytes, double flops, double seconds)
{
    Lock lock(everything);
    Count &count = products[name];
    count.calls++, count.bytes += bytes, count.flops += flops, count.seconds += seconds, count.device += roofline(bytes, flops);
}

extern "C" {

int cuGetErrorName(int error, const char **name)
{
    auto found = ERRORS.find(error);
    *name = found == ERRORS.end() ? "CUDA_ERROR" : found->second.first;
    return SUCCESS;
}

int cuGetErrorString(int error, const char **words)
{
    auto found = ERRORS.find(error);
    *words = found == ERRORS.end() ? "an error" : found->second.second;
    return SUCCESS;
}

int cuInit(unsigned)
{
    ENTRY(NOTHING);
    if (getenv("CUDASIM_NO_DRIVER")) return NOT_INITIALIZED;
    if (DEVICES == 0) return NO_DEVICE;
    if (!initialized) {
        struct sigaction ours = {};
        ours.sa_sigaction = on_fault;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigaction(SIGSEGV, &ours, &before_us);
    }
    initialized = true;
    return SUCCESS;
}

int cuDriverGetVersion(int *version) { return *version = DRIVER, SUCCESS; }

int cuDeviceGetCount(int *count)
{
    ENTRY(DRIVER_UP);
    *count = DEVICES;
    return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal)
{
    ENTRY(DRIVER_UP);
    if (ordinal < 0 || ordinal >= DEVICES) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    ENTRY(DRIVER_UP);
    if (device < 0 || device >= DEVICES) return INVALID_DEVICE;
    switch (attribute) {
    case 1: *value = 1024; break;                  // threads of a block
    case 16: *value = 132; break;                  // multiprocessors
    case 75: *value = CAPABILITY / 10; break;
    case 76: *value = CAPABILITY % 10; break;
    case 115: *value = number("CUDASIM_POOLS", 1); break; // memory pools
    default: *value = 0;
    }
    return SUCCESS;
}

int cuDeviceGetName(char *name, int length, int)
{
    ENTRY(DRIVER_UP);
    strncpy(name, "NVIDIA H200 (simulated)", length);
    return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int)
{
    ENTRY(DRIVER_UP);
    *bytes = MEMORY;
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(Context **context, int device)
{
    ENTRY(DRIVER_UP);
    if (device < 0 || device >= DEVICES) return INVALID_DEVICE;
    Context &it = contexts[device];
    it.device = device;
    it.retained++;
    if (!it.null_stream) streams.push_back(it.null_stream = new Stream(true, device));
    *context = &it;
    return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    ENTRY(DRIVER_UP);
    Context &it = contexts[device];
    if (it.retained == 0) return INVALID_CONTEXT;
    if (--it.retained == 0) lost = 0;
    return SUCCESS;
}

int cuCtxSetCurrent(Context *context)
{
    ENTRY(DRIVER_UP);
    current = context;
    return SUCCESS;
}

int cuCtxGetCurrent(Context **context)
{
    ENTRY(DRIVER_UP);
    *context = current;
    return SUCCESS;
}

int cuDeviceGetDefaultMemPool(void **pool, int device)
{
    ENTRY(DRIVER_UP);
    if (device < 0 || device >= DEVICES) return INVALID_DEVICE;
    *pool = reinterpret_cast<void *>(uintptr_t(device + 1));
    return SUCCESS;
}

int cuMemPoolSetAttribute(void *pool, int attribute, void *value)
{
    ENTRY(DRIVER_UP);
    if (attribute == 4) fprintf(TRACE ? stderr : fopen("/dev/null", "w"), "CUDASIM: pool %p keeps %llu\n", pool, *static_cast<unsigned long long *>(value));
    return pool ? SUCCESS : INVALID_VALUE;
}

int cuMemAlloc_v2(uintptr_t *address, size_t size)
{
    ENTRY(CONTEXT);
    if (size == 0) return INVALID_VALUE;
    for (Stream *stream : streams) catch_up(stream);
    return take(size, current->device, address);
}

int cuMemAllocAsync(uintptr_t *address, size_t size, void *stream)
{
    ENTRY(CONTEXT);
    int error = take(size, current->device, address);
    if (error == OUT_OF_MEMORY) {
        catch_up(of(stream));
        error = take(size, current->device, address);
    }
    return error;
}

int cuMemFreeAsync(uintptr_t address, void *stream)
{
    ENTRY(CONTEXT);
    auto found = blocks.find(address);
    if (found == blocks.end() || found->second.freeing) {
        complain("cuMemFreeAsync of %#zx (%s)", size_t(address), story(address).c_str());
        return INVALID_VALUE;
    }
    if (found->second.device != current->device) complain("memory of device %d is freed on device %d", found->second.device, current->device);
    found->second.freeing = true;
    submit(of(stream), [=] { give(address); });
    return SUCCESS;
}

int cuMemFree_v2(uintptr_t address)
{
    ENTRY(CONTEXT);
    if (!address) return SUCCESS;
    if (!blocks.count(address)) return complain("cuMemFree of %#zx (%s)", size_t(address), story(address).c_str()), INVALID_VALUE;
    for (Stream *stream : streams) catch_up(stream);
    give(address);
    return SUCCESS;
}

int cuMemGetInfo_v2(size_t *free, size_t *total)
{
    ENTRY(CONTEXT);
    *free = MEMORY - live_bytes, *total = MEMORY;
    return SUCCESS;
}

int cuMemsetD8Async(uintptr_t address, unsigned char byte, size_t bytes, void *stream)
{
    ENTRY(CONTEXT);
    if (!usable(address, bytes, __func__)) return INVALID_VALUE;
    Count &count = launches[bytes == 4 ? "(memset of one number)" : "(memset)"];
    count.calls++, count.bytes += bytes, count.device += roofline(bytes, 0);
    if (DRY && launched > DRY) return SUCCESS;
    submit(of(stream), [=] { memset(reinterpret_cast<void *>(address), byte, bytes); });
    return SUCCESS;
}

int cuMemsetD8_v2(uintptr_t address, unsigned char byte, size_t bytes)
{
    ENTRY(CONTEXT);
    if (!usable(address, bytes, __func__)) return INVALID_VALUE;
    submit(of(nullptr), [=] { memset(reinterpret_cast<void *>(address), byte, bytes); });
    return SUCCESS;
}

/// Pageable memory, as the driver does: it has been read when this returns.
int cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, void *stream)
{
    ENTRY(CONTEXT);
    if (!usable(to, bytes, __func__)) return INVALID_VALUE;
    Count &count = copies["host to device, asynchronous"];
    count.calls++, count.bytes += bytes;
    const char *source = static_cast<const char *>(from);
    if (!LAZY) submit(of(stream), [=] { memcpy(reinterpret_cast<void *>(to), source, bytes); });
    else submit(of(stream), [to, held = std::vector<char>(source, source + bytes)] { memcpy(reinterpret_cast<void *>(to), held.data(), held.size()); });
    return SUCCESS;
}

int cuMemcpyHtoD_v2(uintptr_t to, const void *from, size_t bytes)
{
    ENTRY(CONTEXT);
    if (!usable(to, bytes, __func__)) return INVALID_VALUE;
    copy("host to device, waited for", of(nullptr), to, uintptr_t(from), bytes);
    catch_up(of(nullptr));
    return lost;
}

/// To pageable memory, as the driver does: it has been written when this returns.
int cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, void *stream)
{
    ENTRY(CONTEXT);
    if (!usable(from, bytes, __func__)) return INVALID_VALUE;
    copy("device to host", of(stream), uintptr_t(to), from, bytes);
    catch_up(of(stream));
    return lost;
}

int cuMemcpyDtoH_v2(void *to, uintptr_t from, size_t bytes)
{
    ENTRY(CONTEXT);
    if (!usable(from, bytes, __func__)) return INVALID_VALUE;
    copy("device to host, waited for", of(nullptr), uintptr_t(to), from, bytes);
    catch_up(of(nullptr));
    return lost;
}

int cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void *stream)
{
    ENTRY(CONTEXT);
    if (!usable(to, bytes, __func__) || !usable(from, bytes, __func__)) return INVALID_VALUE;
    copy("device to device", of(stream), to, from, bytes);
    return SUCCESS;
}

int cuMemcpyDtoD_v2(uintptr_t to, uintptr_t from, size_t bytes) { return cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr); }

int cuStreamCreate(Stream **stream, unsigned)
{
    ENTRY(CONTEXT);
    streams.push_back(*stream = new Stream(false, current->device));
    return SUCCESS;
}

int cuStreamDestroy_v2(Stream *stream)
{
    ENTRY(CONTEXT);
    if (!stream) return INVALID_HANDLE;
    catch_up(stream);
    return SUCCESS;
}

int cuStreamSynchronize(void *stream)
{
    ENTRY(CONTEXT);
    catch_up(of(stream));
    return lost;
}

int cuStreamWaitEvent(void *stream, Event *event, unsigned)
{
    ENTRY(CONTEXT);
    if (!event) return INVALID_HANDLE;
    if (event->stream) submit(of(stream), Work{nullptr, event->stream, event->position});
    return SUCCESS;
}

int cuEventCreate(Event **event, unsigned)
{
    ENTRY(CONTEXT);
    *event = new Event;
    return SUCCESS;
}

int cuEventRecord(Event *event, void *stream)
{
    ENTRY(CONTEXT);
    if (!event) return INVALID_HANDLE;
    event->stream = of(stream);
    event->position = event->stream->asked;
    event->time = now();
    return SUCCESS;
}

int cuEventElapsedTime(float *milliseconds, Event *start, Event *end)
{
    ENTRY(CONTEXT);
    *milliseconds = (end->time - start->time) * 1e3;
    return SUCCESS;
}

int cuEventDestroy_v2(Event *event)
{
    ENTRY(CONTEXT);
    return event ? SUCCESS : INVALID_HANDLE;
}

int cuModuleLoadData(Module **module, const char *image)
{
    ENTRY(CONTEXT);
    std::string text = image;
    if (text.rfind(toolchain::MARK, 0) != 0) return INVALID_IMAGE;
    std::stringstream head(text.substr(strlen(toolchain::MARK)));
    std::string architecture;
    int toolkit = 0;
    head >> architecture >> toolkit;
    if (toolkit > DRIVER) return UNSUPPORTED_PTX_VERSION;
    if (atoi(architecture.substr(architecture.find('_') + 1).c_str()) > CAPABILITY) return INVALID_PTX;
    std::string log, path = toolchain::library(text, &log);
    if (path.empty()) return complain("a module does not compile: %s", log.c_str()), INVALID_PTX;
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return complain("%s", dlerror()), INVALID_IMAGE;
    *module = new Module{library, {}};
    return SUCCESS;
}

int cuModuleGetFunction(Function **function, Module *module, const char *name)
{
    ENTRY(CONTEXT);
    auto &known = module->functions[name];
    if (!known) {
        auto run = reinterpret_cast<void (*)(const void *)>(dlsym(module->library, (std::string("cudasim_run_") + name).c_str()));
        auto parameters = reinterpret_cast<const int *(*)()>(dlsym(module->library, (std::string("cudasim_parameters_") + name).c_str()));
        if (!run || !parameters) return NOT_FOUND;
        std::vector<int> sizes;
        for (const int *size = parameters(); *size; size++) sizes.push_back(*size);
        known.reset(new Function{name, run, sizes, reinterpret_cast<void (*)(unsigned *)>(dlsym(module->library, "cudasim_position"))});
    }
    *function = known.get();
    return SUCCESS;
}

int cuModuleUnload(Module *)
{
    ENTRY(CONTEXT);
    return SUCCESS;
}

int cuLaunchKernel(Function *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
    void *stream, void **arguments, void **)
{
    ENTRY(CONTEXT);
    if (!function) return INVALID_HANDLE;
    const char *name = function->name.c_str();
    if (!gx || !gy || !gz || !bx || !by || !bz || gx > 2147483647u || gy > 65535 || gz > 65535 || bx > 1024 || by > 1024 || bz > 64 ||
        uint64_t(bx) * by * bz > 1024 || shared > 49152) {
        complain("%s is launched as (%u, %u, %u) blocks of (%u, %u, %u) threads", name, gx, gy, gz, bx, by, bz);
        return INVALID_VALUE;
    }
    Count &count = launches[name];
    count.calls++;
    uint64_t bytes = traffic(*function, arguments);
    count.bytes += bytes, count.device += roofline(bytes, 0);
    if (int error = injected(std::string("kernel=") + name, count.calls)) {
        if (corrupts(error)) return lost = error, SUCCESS;
        return error;
    }
    // Arguments are the driver's own once this returns.
    std::vector<std::vector<char>> held;
    for (size_t at = 0; at < function->parameters.size(); at++) {
        int size = function->parameters[at];
        auto from = static_cast<const char *>(arguments[at]);
        held.emplace_back(from, from + abs(size));
        if (size > 0 || !STRICT) continue;
        uintptr_t address = *reinterpret_cast<const uintptr_t *>(from);
        Block *block = block_of(address);
        if (address && (!block || block->freeing)) complain("%s: argument %zu, %#zx, is not in use (%s)", name, at, size_t(address), story(address).c_str());
        if (block && block->device != current->device) complain("%s: argument %zu is of another device", name, at);
        if (address % 4) complain("%s: argument %zu, %#zx, is not aligned", name, at, size_t(address));
    }
    if (DRY && ++launched > DRY) return SUCCESS;
    submit(of(stream), [=, held = std::move(held)]() mutable {
        std::vector<void *> pointers;
        for (auto &one : held) pointers.push_back(one.data());
        Launch launch{{gx, gy, gz}, {bx, by, bz}, pointers.data(), BACKWARDS, tell, stop};
        double begun = now();
        run(function, launch);
        launches[function->name].seconds += now() - begun;
    });
    return SUCCESS;
}

#define UNSUPPORTED(name)                                                  \
    int name()                                                             \
    {                                                                      \
        complain(#name " is not there");                                   \
        return 801;                                                        \
    }
UNSUPPORTED(cuModuleLoad)
UNSUPPORTED(cuOccupancyAvailableDynamicSMemPerBlock)
UNSUPPORTED(cuOccupancyMaxActiveBlocksPerMultiprocessor)
UNSUPPORTED(cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)
UNSUPPORTED(cuOccupancyMaxActiveClusters)
UNSUPPORTED(cuOccupancyMaxPotentialBlockSize)
UNSUPPORTED(cuOccupancyMaxPotentialBlockSizeWithFlags)
UNSUPPORTED(cuOccupancyMaxPotentialClusterSize)
UNSUPPORTED(cuProfilerStart)
UNSUPPORTED(cuProfilerStop)
UNSUPPORTED(cuImportExternalMemory)
UNSUPPORTED(cuDestroyExternalMemory)
UNSUPPORTED(cuExternalMemoryGetMappedBuffer)

} // extern "C"
