// Enough of CUDA to run kernels on the CPU, as the tests do: compiled before the kernels, as C++17.
//
// Threads of a block that synchronize are fibers, which take turns; those of other kernels are calls.

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static thread_local
#define __align__(bytes) alignas(bytes)

struct Index { unsigned x, y, z; };
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    bool done;
};

static thread_local ucontext_t scheduler;
static thread_local Fiber *running;
static thread_local std::function<void()> work;

/// Waits until all threads of the block get here.
static void __syncthreads()
{
    swapcontext(&running->context, &scheduler);
}

static void run_fiber()
{
    work();
    running->done = true;
}

static void begin(Fiber &fiber)
{
    fiber.stack.resize(1 << 16);
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, run_fiber, 0);
}

static void resume(Fiber &fiber, unsigned thread)
{
    threadIdx.x = thread;
    running = &fiber;
    swapcontext(&scheduler, &fiber.context);
}

/// One block. If the first thread never waits, none does.
static void run_block(unsigned threads)
{
    static thread_local std::vector<Fiber> fibers;
    fibers.resize(threads);
    begin(fibers[0]);
    resume(fibers[0], 0);
    if (fibers[0].done) {
        for (threadIdx.x = 1; threadIdx.x < threads; threadIdx.x++) work();
        return;
    }
    for (unsigned thread = 1; thread < threads; thread++) {
        begin(fibers[thread]);
        resume(fibers[thread], thread);
    }
    for (bool waiting = true; waiting;) {
        waiting = false;
        for (unsigned thread = 0; thread < threads; thread++) {
            if (fibers[thread].done) continue;
            resume(fibers[thread], thread);
            waiting = waiting || !fibers[thread].done;
        }
    }
}

template <class... A, std::size_t... At>
static void run(void (*kernel)(A...), const unsigned *blocks, unsigned threads, void **arguments, std::index_sequence<At...>)
{
    work = [&] { kernel(*static_cast<A *>(arguments[At])...); };
    gridDim = {blocks[0], blocks[1], 1};
    blockDim = {threads, 1, 1};
    for (blockIdx.y = 0; blockIdx.y < blocks[1]; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < blocks[0]; blockIdx.x++) run_block(threads);
}

template <class... A>
static void run(void (*kernel)(A...), const unsigned *blocks, unsigned threads, void **arguments)
{
    run(kernel, blocks, threads, arguments, std::index_sequence_for<A...>());
}

/// The function by which tests call a kernel.
#define EMULATED(kernel)                                                                              \
    extern "C" void emulated_##kernel(const unsigned *blocks, unsigned threads, void **arguments)     \
    {                                                                                                \
        run(kernel, blocks, threads, arguments);                                                     \
    }
