// The parts of CUDA C++ that C++ lacks, for kernels that run on the CPU. Included before a module's preprocessed source.
//
// Threads of a block run one after the other on one fiber for as long as none waits; one that reaches a barrier keeps its
// fiber, and the next thread begins another. Blocks run one after the other, all in one host thread: the library that
// loads this module lets nothing else run meanwhile.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <math.h>
#include <type_traits>
#include <utility>

#define __device__
#define __global__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(...)

struct dim3 { unsigned x, y, z; };
static dim3 threadIdx, blockIdx, blockDim, gridDim;

/// A launch, as the driver asks for it. `stop` ends it with an error of the driver and does not return.
struct Launch {
    unsigned grid[3], block[3];
    void **arguments;
    int backwards;
    void (*tell)(const char *);
    void (*stop)(int error, const char *why);
};

extern "C" void cudasim_switch(void **save, void *load);
asm(".text\n.local cudasim_switch\n.type cudasim_switch,@function\ncudasim_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");

namespace cudasim {

constexpr unsigned MOST_THREADS = 1024, STACK = 1 << 16;

struct Fiber {
    void *sp;
    char *stack;
    unsigned thread;
    int barrier;
    bool done;
};

static Fiber fibers[MOST_THREADS], *running;
static void *scheduler;
static unsigned started, threads;
static const Launch *launch;
static void (*body)();

static unsigned turn(unsigned at, unsigned of) { return launch->backwards ? of - 1 - at : at; }

static void become(unsigned thread)
{
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y};
}

/// Fibers change places while they wait: which one it is on is known from `running` alone.
static void fiber_main()
{
    while (started < threads) {
        running->thread = turn(started++, threads);
        become(running->thread);
        body();
        asm volatile("" ::: "memory");
    }
    running->done = true;
    cudasim_switch(&running->sp, scheduler);
}

static __attribute__((noinline)) void barrier(int which)
{
    running->barrier = which;
    cudasim_switch(&running->sp, scheduler);
    asm volatile("" ::: "memory");
    become(running->thread);
}

static void go_on(Fiber &fiber)
{
    running = &fiber;
    cudasim_switch(&scheduler, fiber.sp);
    asm volatile("" ::: "memory");
}

static void begin(Fiber &fiber)
{
    if (!fiber.stack) fiber.stack = static_cast<char *>(malloc(STACK));
    fiber.done = false;
    void **top = reinterpret_cast<void **>((reinterpret_cast<uintptr_t>(fiber.stack) + STACK) & ~uintptr_t(15));
    *--top = nullptr;
    *--top = reinterpret_cast<void *>(fiber_main);
    for (int saved = 0; saved < 6; saved++) *--top = nullptr;
    fiber.sp = top;
    go_on(fiber);
}

static void run_block()
{
    unsigned waiting = 0;
    started = 0;
    while (started < threads) {
        begin(fibers[waiting]);
        if (!fibers[waiting].done) waiting++;
    }
    while (waiting > 0) {
        for (unsigned at = 1; at < waiting; at++)
            if (fibers[at].barrier != fibers[0].barrier) {
                launch->tell("threads of a block wait at different barriers");
                break;
            }
        unsigned left = 0;
        for (unsigned at = 0; at < waiting; at++) {
            go_on(fibers[at]);
            if (fibers[at].done) continue;
            if (left != at) std::swap(fibers[left], fibers[at]);
            left++;
        }
        waiting = left;
    }
}

template <class F, F *K> struct Kernel;

template <class... A, void (*K)(A...)> struct Kernel<void(A...), K> {
    template <std::size_t... At> static void call(std::index_sequence<At...>)
    {
        K(*static_cast<std::remove_const_t<A> *>(launch->arguments[At])...);
    }

    static void thread() { call(std::index_sequence_for<A...>()); }

    static void run(const Launch *what)
    {
        launch = what;
        body = thread;
        gridDim = {what->grid[0], what->grid[1], what->grid[2]};
        blockDim = {what->block[0], what->block[1], what->block[2]};
        threads = blockDim.x * blockDim.y * blockDim.z;
        unsigned long long blocks = 1ull * gridDim.x * gridDim.y * gridDim.z;
        for (unsigned long long at = 0; at < blocks; at++) {
            unsigned long long block = what->backwards ? blocks - 1 - at : at;
            blockIdx = {unsigned(block % gridDim.x), unsigned(block / gridDim.x % gridDim.y), unsigned(block / gridDim.x / gridDim.y)};
            run_block();
        }
    }

    /// Bytes of each parameter, negative for a pointer; ends with 0.
    static const int *parameters()
    {
        static const int sizes[] = {(std::is_pointer_v<A> ? -int(sizeof(A)) : int(sizeof(A)))..., 0};
        return sizes;
    }
};

[[noreturn]] static void failed(const char *what)
{
    launch->stop(710, what);
    abort();
}

} // namespace cudasim

#define CUDASIM_KERNEL(name)                                                                                            \
    extern "C" void cudasim_run_##name(const Launch *launch) { cudasim::Kernel<decltype(name), name>::run(launch); }     \
    extern "C" const int *cudasim_parameters_##name() { return cudasim::Kernel<decltype(name), name>::parameters(); }

extern "C" void cudasim_position(unsigned *at)
{
    dim3 both[2] = {blockIdx, threadIdx};
    memcpy(at, both, sizeof both);
}

#define __syncthreads() cudasim::barrier(__COUNTER__)
#undef assert
#define assert(condition) ((condition) ? (void)0 : cudasim::failed(#condition))

template <class A, class B> static std::common_type_t<A, B> max(A a, B b) { return a > b ? a : b; }
template <class A, class B> static std::common_type_t<A, B> min(A a, B b) { return a < b ? a : b; }

template <class To, class From> static To cudasim_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static float __int_as_float(int bits) { return cudasim_bits<float>(bits); }
static int __float_as_int(float value) { return cudasim_bits<int>(value); }
static float __uint_as_float(unsigned bits) { return cudasim_bits<float>(bits); }
static unsigned __float_as_uint(float value) { return cudasim_bits<unsigned>(value); }
static double __longlong_as_double(long long bits) { return cudasim_bits<double>(bits); }
static long long __double_as_longlong(double value) { return cudasim_bits<long long>(value); }

template <class T> static T atomicAdd(T *at, std::common_type_t<T> value) { T old = *at; *at = old + value; return old; }
template <class T> static T atomicMax(T *at, std::common_type_t<T> value) { T old = *at; if (value > old) *at = value; return old; }
template <class T> static T atomicMin(T *at, std::common_type_t<T> value) { T old = *at; if (value < old) *at = value; return old; }
template <class T> static T atomicExch(T *at, std::common_type_t<T> value) { T old = *at; *at = value; return old; }
template <class T> static T atomicCAS(T *at, std::common_type_t<T> expected, std::common_type_t<T> value) { T old = *at; if (old == expected) *at = value; return old; }

typedef _Float16 __half;
static float __half2float(__half value) { return float(value); }
static __half __float2half(float value) { return __half(value); }
static bool __hisnan(__half value) { return isnan(float(value)); }
static __half __hmax_nan(__half a, __half b) { return __hisnan(a) ? a : __hisnan(b) ? b : a > b ? a : b; }
static __half __hmin_nan(__half a, __half b) { return __hisnan(a) ? a : __hisnan(b) ? b : a < b ? a : b; }
static unsigned short __half_as_ushort(__half value) { return cudasim_bits<unsigned short>(value); }
static __half __ushort_as_half(unsigned short bits) { return cudasim_bits<__half>(bits); }
static __half __habs(__half value) { return fabsf(value); }
static __half hcos(__half value) { return cosf(value); }
static __half hsin(__half value) { return sinf(value); }
static __half hsqrt(__half value) { return sqrtf(value); }
static __half hlog(__half value) { return logf(value); }
static __half hexp(__half value) { return expf(value); }
